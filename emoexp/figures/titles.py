"""What the titles of all figures say of a run."""

from __future__ import annotations

from collections.abc import Iterable

from emoexp.store.record import SavedRun


def where(
    models: Iterable[str],
    packs: Iterable[str] = (),
    corpora: Iterable[str] = (),
    layer: int | None = None,
    *more: str,
) -> str:
    """Returns where numbers were measured, in the order of the arguments; what is empty is left
    out."""
    groups = (("model", models), ("pack", packs), ("corpus", corpora))
    unique = ((kind, list(dict.fromkeys(name for name in names if name))) for kind, names in groups)
    parts = [f"{kind}: {' and '.join(names)}" for kind, names in unique if names]
    return ", ".join([*parts, *([] if layer is None else [f"layer {layer}"]), *more])


def title_of(run: SavedRun, *more: str, vectors: bool = True, layer: bool = True) -> str:
    """Returns where the numbers of a figure were measured: model, pack, corpus, layer, and `more`.
    What the run did not use is left out.

    Args:
        vectors: the numbers depend on emotion vectors, and with them on corpus and layer.
        layer: the figure is of the run's layer; False where it shows several.
    """
    record = run.record
    corpus = str((record.corpus or {}).get("name", "")) if vectors else ""
    at = record.layer if vectors and layer else None
    return where([record.model], [run.pack], [corpus], at, *more)
