"""The runs of a report, split into groups whose numbers may be compared, and as one table of
runs by criteria."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from yaml import YAMLError

from emoexp.config import resolve_layer
from emoexp.errors import EmoexpError, one_line
from emoexp.store import runs as runs_on_disk
from emoexp.store.record import RESULT
from emoexp.store.runs import SWEEP, RunState, left_out, runs_below

Run = dict[str, Any]
"""The content of a result.json, with its folder as `path`, what has become of it as `state` (a
`RunState`, or `unreadable`), and the config.yaml of its job as `config` ({} without one)."""

SUCCESS = RunState.success.value
UNREADABLE = RunState.unreadable.value
OVER_SHUFFLED = ("over_shuffled", "over_shuffled_low", "over_shuffled_high")
SIZES = ("effect_ratio", "effect_ratio_low", "effect_ratio_high", "mean_abs_delta_elo")
MOST_BRACKETS = 1000
"""Brackets and braces of a YAML file of a run, at most."""
OVERRIDES = Path(".hydra/overrides.yaml")
NOT_OF_A_RUN = (
    OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, YAMLError,
)  # fmt: skip
"""What reading the files of a run raises where they are of something else."""


def load_runs(directories: Sequence[Path]) -> list[Run]:
    """Reads every result.json below the directories, each once; none of a sweep whose jobs all died
    before they wrote one. What cannot be read is said on standard error.

    Raises:
        EmoexpError: there is neither a run nor a sweep, or no run that can be read.
    """
    runs = [_load(run) for run in runs_below(directories)]
    if not runs and not any(any(directory.glob(f"**/{SWEEP}")) for directory in directories):
        raise EmoexpError(
            f"no {RESULT} below {', '.join(map(str, directories))}: give the directory of a run"
            " or a sweep"
        )
    if runs and all(run["state"] == UNREADABLE for run in runs):
        more = f"; and {len(runs) - 1} more" * (len(runs) > 1)
        raise EmoexpError(f"no run can be read: {runs[0]['error']}{more}")
    for run in (run for run in runs if run["state"] == UNREADABLE):
        left_out(run["error"])
    return runs


def _load(run: runs_on_disk.Run) -> Run:
    """Returns the content of a run; what cannot be read has the state UNREADABLE and the error."""
    # A job with a list of layers has one config.yaml for all of them, in the folder above.
    files = [folder / "config.yaml" for folder in (run.directory, run.directory.parent)]
    read: Run = {"state": run.state.value, "path": str(run.directory), "config": {}}
    if run.record is None:
        return read | {"error": run.why}
    read = run.record.as_dict() | read
    try:
        for file in [file for file in files if file.exists()][:1]:
            read["config"] = _read_yaml(file)
        facts(read)
        read["command"] = _command(read)
    except NOT_OF_A_RUN as error:
        why = f"{run.directory}: config.yaml, overrides.yaml or result.json is not that of a run"
        said = f"{why} ({type(error).__name__}: {one_line(error)})"
        return {"state": UNREADABLE, "path": read["path"], "config": {}, "error": said}
    return read


def _read_yaml(path: Path) -> Any:
    """Reads a YAML file. Raises ValueError for one with so many brackets as no run writes, since
    PyYAML takes a second to refuse them."""
    text = path.read_text(encoding="utf-8")
    if len(re.findall(r"[\[{]", text)) > MOST_BRACKETS:
        raise ValueError(f"more than {MOST_BRACKETS} brackets")
    return yaml.safe_load(text)


def _command(run: Run) -> str:
    """Returns the command line of a run, to be pasted into a shell."""
    folder = Path(run["path"])
    given: Any = run["provenance"].get("command")
    # a job of a sweep was started by its launcher; its own settings are in Hydra's file
    for file in (folder / OVERRIDES, folder.parent / OVERRIDES):
        if file.is_file():
            given = _read_yaml(file)
            break
    words = map(str, given) if isinstance(given, list) else ()
    return shlex.join(["python", "-m", "emoexp", *words])


def _judged(run: Run) -> bool:
    """Tells whether a run has finished and has verdicts."""
    return bool(run["state"] == SUCCESS and run["verdicts"])


def measured(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs whose verdicts go into the tables by layer: finished, judged, at a layer."""
    return [run for run in runs if _judged(run) and run["layer"] is not None]


def partial(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs that did not finish and yet found something. They are shown apart, and no
    layer is chosen from them: one that failed half-way has fewer criteria."""
    left = [run for run in runs if run["state"] not in (SUCCESS, UNREADABLE)]
    return [run for run in left if run["verdicts"] or run["metrics"]]


def without_layer(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs that are finished and judged and have no layer, such as those of
    `experiment=preference` by itself."""
    return [run for run in runs if _judged(run) and run["layer"] is None]


def code_version(run: Run) -> str:
    """Returns the hash of the code that numbers depend on; for a result older than that hash, the
    commit, which does not tell uncommitted changes apart."""
    if run.get("code"):
        return str(run["code"])[:8]
    provenance = run["provenance"]
    if not provenance.get("commit"):
        return f"emoexp {provenance.get('emoexp', '?')}, no git"
    changes = " with uncommitted changes" if provenance.get("dirty") else ""
    return f"commit {provenance['commit'][:8]}{changes}"


def facts(run: Run) -> dict[str, str]:
    """Returns what must be the same for numbers to be compared. What a run does not depend on is
    left out, and then agrees with anything.

    Stories that a model wrote itself, as the paper's did, differ between models by design: they
    must be the same for one model.
    """
    model, config, pack, corpus = run["model"], run["config"], run["stimuli"], run["corpus"]
    values = {"span": run["span"], "seed": str(run["seed"]), "code": code_version(run)}
    if run["n_layers"] is not None:
        values[f"layers of {model}"] = str(run["n_layers"])
    if pack is not None:
        values["pack"] = f"{pack['name']} {pack['sha256'][:8]}"
    if corpus is not None:
        stories = config.get("stories", {})
        text = f"{corpus['name']} {corpus['sha256'][:8]}"
        if stories.get("source") == "generated" and stories.get("server") is None:
            values["corpus"] = f"each model's own stories ({stories['name']})"
            values[f"own stories of {model}"] = text
        else:
            values["corpus"] = text
    if identity := run["provenance"].get("model"):
        keys = ("dtype", "quantization", "format", "revision", "files")
        known = [str(identity[key])[:8] for key in keys if identity.get(key) is not None]
        values[f"weights of {model}"] = ", ".join(known)
    return values | settings(run)


def settings(run: Run) -> dict[str, str]:
    """Returns what a user varies of the method: emotions, scale, and each validation's own
    settings, which are one level deeper in `verify`."""
    config = run["config"]
    own = config.get("experiment") or {}
    parts = own if run["experiment"] == "verify" else {run["experiment"]: own}
    parts = parts | {name: config[name] for name in ("emotions", "scale") if name in config}
    texts = {
        f"{name}.{key}": str(value)
        for name, values in parts.items()
        for key, value in (values or {}).items()
    }
    if "vectors" in config:
        texts["vectors"] = "from a file" if config["vectors"] else "extracted"
    return texts


def apart(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Returns the facts in which runs differ, with their values."""
    values: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        for name, value in facts(run).items():
            values[name].add(value)
    return {name: sorted(found) for name, found in values.items() if len(found) > 1}


def name_of(run: Run) -> str:
    """Returns experiment, model and, if there is one, layer."""
    layer = f", layer {run['layer']}" if run["layer"] is not None else ""
    return f"{run['experiment']}, {run['model']}{layer}"


def grouped(runs: Sequence[Run], mix: bool) -> dict[str, list[Run]]:
    """Groups runs by the facts in which they differ; without any, one group with an empty label.

    Raises:
        EmoexpError: they differ and `mix` is not given.
    """
    differing = apart(runs)
    if differing and not mix:
        differences = "; ".join(
            f"{name}: {' | '.join(values[:4])}{' | ...' * (len(values) > 4)}"
            for name, values in differing.items()
        )
        raise EmoexpError(
            f"these runs differ in {differences}. They are not laid side by side: give fewer"
            " directories, or --mix to show them as separate groups"
        )
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        own = facts(run)
        label = ", ".join(f"{name} {own.get(name, 'not used')}" for name in differing)
        groups[label].append(run)
    return dict(groups)


@dataclass(frozen=True)
class Part:
    """The runs of one model in one group, as tables with the newest measurement of each criterion
    at each layer.

    Attributes:
        rows: one per layer and criterion, with the verdict's fields.
        sizes: one per layer at which steering was measured, with SIZES and OVER_SHUFFLED.
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
        """The model and, if there are several groups, the group."""
        return self.model + (f" [{self.group}]" if self.group else "")

    @property
    def layers(self) -> list[int]:
        """The layers that were run, in order."""
        return sorted({int(layer) for layer in self.rows["layer"]})

    def at(self, layer: int) -> dict[str, dict[str, Any]]:
        """Returns the verdicts of one layer by criterion. What was not published is None again,
        which is NaN in pandas."""
        records = self.rows[self.rows["layer"] == layer].to_dict("records")
        return {
            str(v["id"]): {str(key): None if pd.isna(value) else value for key, value in v.items()}
            for v in records
        }

    @property
    def best(self) -> int:
        """The layer with most criteria both passed and informative, then with most passed, then the
        nearest to two thirds (if known), then the lowest."""

        def rank(layer: int) -> tuple[float, ...]:
            verdicts = self.at(layer).values()
            both = sum(v["passed"] and v["informative"] for v in verdicts)
            passed = sum(v["passed"] for v in verdicts)
            away = 0.0 if self.n_layers is None else abs(layer - 2 / 3 * self.n_layers)
            return (-both, -passed, away, layer)

        return min(self.layers, key=rank)


def verdict_rows(groups: dict[str, list[Run]]) -> pd.DataFrame:
    """Returns one row per run and criterion; `stands` is false where a newer run measured the same
    criterion, model and layer of the group."""
    rows = []
    for group, runs in groups.items():
        for run in runs:
            origin = _origin(group, run)
            rows += [origin | verdict for verdict in run["verdicts"]]
    table = pd.DataFrame(rows).sort_values(["time", "path"], kind="stable")
    table["stands"] = ~table.duplicated(["group", "model", "layer", "id"], keep="last")
    table = table.assign(order=table["id"].str[1:].astype(int))
    ordered = table.sort_values(["group", "model", "layer", "order", "time"], ignore_index=True)
    return ordered.drop(columns="order")


def _origin(group: str, run: Run) -> dict[str, Any]:
    """Returns what all verdicts of a run have in common."""
    pack, corpus = run["stimuli"] or {}, run["corpus"] or {}
    return {
        "group": group,
        **{key: run[key] for key in ("model", "experiment", "layer", "span", "seed")},
        "pack": pack.get("name"),
        "pack_sha256": pack.get("sha256"),
        "corpus": corpus.get("name"),
        "corpus_sha256": corpus.get("sha256"),
        "author": corpus.get("author"),
        "code": code_version(run),
        "time": str(run["provenance"]["time"]),
        "path": run["path"],
    }


def parts(groups: dict[str, list[Run]], rows: pd.DataFrame) -> list[Part]:
    """Returns one part per group and model."""
    all_parts = []
    for group, runs in groups.items():
        for model in dict.fromkeys(run["model"] for run in runs):
            of_model = [run for run in runs if run["model"] == model]
            of_model.sort(key=lambda run: str(run["provenance"]["time"]))
            n_layers = next((n for run in of_model if (n := run["n_layers"]) is not None), None)
            two_thirds = None if n_layers is None else resolve_layer("auto", n_layers)
            newest = rows[(rows["group"] == group) & (rows["model"] == model) & rows["stands"]]
            sizes = _sizes(of_model)
            all_parts.append(Part(group, model, of_model, newest, sizes, n_layers, two_thirds))
    return all_parts


def _sizes(runs: Sequence[Run]) -> pd.DataFrame:
    """Returns SIZES and OVER_SHUFFLED (NaN where that was not measured) by layer, of the last run
    at each layer that has SIZES."""
    rows = [
        {
            "layer": run["layer"],
            **{k: run["metrics"][k] for k in SIZES},
            **{k: run["metrics"].get(f"effect_ratio_{k}", np.nan) for k in OVER_SHUFFLED},
        }
        for run in runs
        if all(k in run["metrics"] for k in SIZES)
    ]
    table = pd.DataFrame(rows, columns=["layer", *SIZES, *OVER_SHUFFLED])
    return table.drop_duplicates("layer", keep="last").sort_values("layer", ignore_index=True)


def replaced(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Returns the (older, newer) folders of runs that measured the same thing."""
    keys = ["group", "model", "layer", "id"]
    newest = rows[rows["stands"]].set_index(keys)["path"].to_dict()
    older = rows[~rows["stands"]].to_dict("records")
    return sorted({(str(row["path"]), str(newest[tuple(row[k] for k in keys)])) for row in older})
