"""What the titles of all figures say of a run."""

from __future__ import annotations

from collections.abc import Iterable

from emoexp.stats.criteria import COUNTS
from emoexp.stats.digits import short
from emoexp.stats.labels import EMOTIONS
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


def found(run: SavedRun, *criteria: str) -> str:
    """Returns the value of each criterion that was judged, and the 95 % range of its nulls."""
    judged = {verdict.id: verdict for verdict in run.record.verdicts}
    lines = []
    for verdict in (judged[name] for name in criteria if name in judged):
        value = short(verdict.value)
        if verdict.id in COUNTS:
            value = f"{verdict.value:.0f}/{verdict.n}"
        null = f"{short(verdict.null_low)} .. {short(verdict.null_high)}"
        lines.append(f"{verdict.id}: {value} (null {null})")
    return ", ".join(lines)


def found_steering(run: SavedRun) -> str:
    """Returns V10 and V11 with the size of the effect, which decides whether they are informative;
    empty where the size was not measured."""
    rows = run.table("steering_rows")
    if "effect_ratio_low" not in rows:
        return ""
    row = rows[rows["directions"] == EMOTIONS].iloc[0]
    interval = f"{row['effect_ratio_low']:.2f} .. {row['effect_ratio_high']:.2f}"
    ratio = f"effect ratio {row['effect_ratio']:.2f} ({interval})"
    return ", ".join(filter(None, [found(run, "V10", "V11"), ratio]))
