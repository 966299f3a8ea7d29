"""The runs of a report: found, split into groups that may stand side by side, and as one table of
run by criterion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from emoexp.config import resolve_layer
from emoexp.errors import EmoexpError
from emoexp.store.record import RESULT
from emoexp.store.runs import SWEEP, RunState, state_of

Run = dict[str, Any]
"""The content of a result.json, with its folder as `path`, what has become of it as `state` (a
`RunState`, or `unreadable`), and the config.yaml of its job as `config` ({} without one)."""

SUCCESS = RunState.success.value
UNREADABLE = "unreadable"
SIZES = ("effect_ratio", "effect_ratio_low", "effect_ratio_high", "mean_abs_delta_elo")


def load_runs(directories: Sequence[Path]) -> list[Run]:
    """Every result.json below the directories, each once; none yet of a sweep whose jobs all died
    before they wrote one.

    Raises:
        EmoexpError: there is neither a run nor a sweep.
    """
    found = {
        path.resolve(): path
        for directory in directories
        for path in sorted(directory.glob(f"**/{RESULT}"))
    }
    if not found and not any(any(directory.glob(f"**/{SWEEP}")) for directory in directories):
        raise EmoexpError(
            f"no result.json below {', '.join(map(str, directories))}: give the directory of a run"
            " or a sweep"
        )
    return [_load(path) for path in found.values()]


def _load(path: Path) -> Run:
    beside = [
        folder / "config.yaml" for folder in (path.parent, path.parent.parent)
    ]  # a job with a list of layers has one for all of them
    try:
        found = state_of(path.parent)
        config: dict[str, Any] = next(
            (yaml.safe_load(file.read_text(encoding="utf-8")) for file in beside if file.exists()),
            {},
        )
    except (EmoexpError, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        return {
            "state": UNREADABLE,
            "error": " ".join(str(error).split()),
            "path": str(path.parent),
            "config": {},
        }
    record = {} if found.record is None else found.record.as_dict()
    return record | {"state": found.state.value, "path": str(path.parent), "config": config}


def measured(runs: Sequence[Run]) -> list[Run]:
    """Those whose verdicts go into the tables by layer: finished, judged, at a layer."""
    return [
        run
        for run in runs
        if run["state"] == SUCCESS and run["verdicts"] and run["layer"] is not None
    ]


def partial(runs: Sequence[Run]) -> list[Run]:
    """Those that did not finish and yet found something. It is shown apart, and never chosen from:
    a layer that failed half-way has fewer criteria."""
    return [
        run
        for run in runs
        if run["state"] not in (SUCCESS, UNREADABLE) and (run["verdicts"] or run["metrics"])
    ]


def without_layer(runs: Sequence[Run]) -> list[Run]:
    """Finished and judged, and no layer is in it: `experiment=preference` by itself."""
    return [
        run for run in runs if run["state"] == SUCCESS and run["verdicts"] and run["layer"] is None
    ]


def code_version(run: Run) -> str:
    """The hash of the code that numbers depend on; for a result of before it was kept, the commit,
    with which uncommitted changes stay unknown."""
    if run.get("code"):
        return str(run["code"])[:8]
    known = run["provenance"]
    if not known.get("commit"):
        return f"emoexp {known.get('emoexp', '?')}, no git"
    return f"commit {known['commit'][:8]}" + (
        " with uncommitted changes" if known.get("dirty") else ""
    )


def facts(run: Run) -> dict[str, str]:
    """What must be the same for numbers to stand side by side. What a run does not depend on is
    left out, and then agrees with anything.

    Stories that a model wrote itself, as the paper's did, differ between models by design: they
    must be the same for one model.
    """
    model, config, pack, corpus = run["model"], run["config"], run["stimuli"], run["corpus"]
    found = {"span": run["span"], "seed": str(run["seed"]), "code": code_version(run)}
    if pack is not None:
        found["pack"] = f"{pack['name']} {pack['sha256'][:8]}"
    if corpus is not None:
        stories, kind = config.get("stories", {}), "corpus"
        if stories.get("source") == "generated" and stories.get("server") is None:
            found["corpus"], kind = (
                f"each model's own stories ({stories['name']})",
                f"own stories of {model}",
            )
        found[kind] = f"{corpus['name']} {corpus['sha256'][:8]}"
    if identity := run["provenance"].get("model"):
        kept = ("dtype", "quantization", "format", "revision", "files")
        found[f"weights of {model}"] = ", ".join(
            str(identity[k])[:8] for k in kept if identity.get(k) is not None
        )
    return found | settings(run)


def settings(run: Run) -> dict[str, str]:
    """What a user varies of the method: emotions, scale, and each validation's own, which `verify`
    holds one level deeper."""
    config = run["config"]
    own = config.get("experiment") or {}
    parts = own if run["experiment"] == "verify" else {run["experiment"]: own}
    parts = parts | {name: config[name] for name in ("emotions", "scale") if name in config}
    found = {
        f"{name}.{key}": str(value)
        for name, values in parts.items()
        for key, value in values.items()
    }
    return found | (
        {"vectors": "from a file" if config["vectors"] else "extracted"}
        if "vectors" in config
        else {}
    )


def grouped(runs: Sequence[Run], mix: bool) -> dict[str, list[Run]]:
    """Runs by what sets them apart; one group with an empty label if nothing does.

    Raises:
        EmoexpError: something does and `mix` is not given.
    """
    all_facts = [facts(run) for run in runs]
    values: dict[str, set[str]] = defaultdict(set)
    for found in all_facts:
        for name, value in found.items():
            values[name].add(value)
    apart = [name for name in values if len(values[name]) > 1]
    if apart and not mix:
        told = "; ".join(
            f"{name}: {' | '.join(sorted(values[name])[:4])}{' | ...' * (len(values[name]) > 4)}"
            for name in apart
        )
        raise EmoexpError(
            f"these runs differ in {told}. They are not laid side by side: give fewer directories,"
            " or --mix to show them as separate groups"
        )
    groups: dict[str, list[Run]] = defaultdict(list)
    for run, found in zip(runs, all_facts, strict=True):
        groups[", ".join(f"{name} {found.get(name, 'not used')}" for name in apart)].append(run)
    return dict(groups)


def depth(runs: Sequence[Run]) -> int | None:
    """Number of blocks of these runs' model; None if no result.json says so."""
    known = {n for run in runs if (n := run.get("n_layers")) is not None}
    if len(known) > 1:
        raise EmoexpError(
            f"runs of {runs[0]['model']} say that it has {' and '.join(map(str, sorted(known)))}"
            " layers: they are of different models"
        )
    return int(known.pop()) if known else None


@dataclass(frozen=True)
class Part:
    """The runs of one model in one group, as tables in which the newest measurement of a layer's
    criterion stands.

    Attributes:
        rows: one per layer and criterion, with the verdict's fields.
        sizes: one per layer at which steering was measured, with SIZES.
        two_thirds: the layer that `layer=auto` names, whether or not it was run; None if the depth
            is not known.
    """

    group: str
    model: str
    runs: list[Run]
    rows: pd.DataFrame
    sizes: pd.DataFrame
    n_layers: int | None
    two_thirds: int | None

    @property
    def label(self) -> str:
        return self.model + (f" [{self.group}]" if self.group else "")

    @property
    def layers(self) -> list[int]:
        return sorted({int(layer) for layer in self.rows["layer"]})

    def at(self, layer: int) -> dict[str, dict[str, Any]]:
        """Verdicts of one layer by criterion. What was not published is None again, which pandas
        holds as NaN."""
        found = self.rows[self.rows["layer"] == layer].to_dict("records")
        return {
            str(v["id"]): {str(key): None if pd.isna(value) else value for key, value in v.items()}
            for v in found
        }

    @property
    def best(self) -> int:
        """Most criteria both passed and informative, then most passed, then nearest to two thirds
        (if known), then lowest."""

        def worth(layer: int) -> tuple[float, ...]:
            found = self.at(layer).values()
            away = 0.0 if self.n_layers is None else abs(layer - 2 / 3 * self.n_layers)
            return (
                -sum(v["passed"] and v["informative"] for v in found),
                -sum(v["passed"] for v in found),
                away,
                layer,
            )

        return min(self.layers, key=worth)


def verdict_rows(groups: dict[str, list[Run]]) -> pd.DataFrame:
    """One row per run and criterion; `stands` is false where a newer run measured the same
    criterion, model and layer of the group."""
    rows = []
    for group, runs in groups.items():
        for run in runs:
            pack, corpus = run["stimuli"] or {}, run["corpus"] or {}
            origin = {
                "group": group,
                "model": run["model"],
                "experiment": run["experiment"],
                "layer": run["layer"],
                "span": run["span"],
                "seed": run["seed"],
                "pack": pack.get("name"),
                "pack_sha256": pack.get("sha256"),
                "corpus": corpus.get("name"),
                "corpus_sha256": corpus.get("sha256"),
                "author": corpus.get("author"),
                "code": code_version(run),
                "time": str(run["provenance"]["time"]),
                "path": run["path"],
            }
            rows += [origin | verdict for verdict in run["verdicts"]]
    table = pd.DataFrame(rows).sort_values(["time", "path"], kind="stable")
    table["stands"] = ~table.duplicated(["group", "model", "layer", "id"], keep="last")
    order = table["id"].str[1:].astype(int)
    return (
        table.assign(order=order)
        .sort_values(["group", "model", "layer", "order", "time"])
        .drop(columns="order")
        .reset_index(drop=True)
    )


def parts(groups: dict[str, list[Run]], rows: pd.DataFrame) -> list[Part]:
    """One part per group and model."""
    found = []
    for group, runs in groups.items():
        for model in dict.fromkeys(run["model"] for run in runs):
            mine = sorted(
                (run for run in runs if run["model"] == model),
                key=lambda r: str(r["provenance"]["time"]),
            )
            sizes = {
                run["layer"]: {k: run["metrics"][k] for k in SIZES}
                for run in mine
                if all(k in run["metrics"] for k in SIZES)
            }
            n_layers = depth(mine)
            two_thirds = None if n_layers is None else resolve_layer("auto", n_layers)
            stands = rows[(rows["group"] == group) & (rows["model"] == model) & rows["stands"]]
            frame = pd.DataFrame(
                [{"layer": layer, **size} for layer, size in sorted(sizes.items())],
                columns=["layer", *SIZES],
            )
            found.append(Part(group, model, mine, stands, frame, n_layers, two_thirds))
    return found


def replaced(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """(older, newer) folders of runs that measured the same thing."""
    keys = ["group", "model", "layer", "id"]
    newest = rows[rows["stands"]].set_index(keys)["path"].to_dict()
    older = rows[~rows["stands"]]
    return sorted(
        {
            (str(row["path"]), str(newest[tuple(row[k] for k in keys)]))
            for row in older.to_dict("records")
        }
    )
