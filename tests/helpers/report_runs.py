"""Runs and sweeps as they lie on disk, without running anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from emoexp.stats.criteria import CRITERIA, Effect, Measurement, judge
from emoexp.stats.intervals import Interval
from emoexp.stats.labels import ISOTROPIC
from emoexp.store.record import SCHEMA

MODELS, LAYERS = ("organism", "organism_untrained"), (2, 3, 4, 5, 6, 7)
N = {
    "V1": 64,
    "V2": 5,
    "V3": 12,
    "V4": 12,
    "V5": 24,
    "V6": 24,
    "V7": 8,
    "V8": 6,
    "V9": 64,
    "V10": 36,
    "V11": 36,
}
PEAK = {
    "V1": 50,
    "V2": 5,
    "V3": 11,
    "V4": 1.2,
    "V5": 18,
    "V6": 15,
    "V7": 855,
    "V8": 3,
    "V9": 58,
    "V10": 0.97,
    "V11": 35,
}
NULL = {
    "V1": (0, 2),
    "V2": (0, 5),
    "V3": (0, 3),
    "V4": (5, 7.75),
    "V5": (6, 18),
    "V6": (8, 20),
    "V7": (178, 538),
    "V8": (0, 3),
    "V9": (0, 32),
    "V10": (0.67, 0.89),
    "V11": (25, 34),
}


def verdicts(
    model: str, layer: int, wanted: Sequence[str] = tuple(CRITERIA)
) -> list[dict[str, Any]]:
    """Judged as a run judges: the organism is best at layer 4, the untrained one shows nothing
    anywhere."""
    found = []
    for k in wanted:
        low, high = NULL[k]
        rise = (1 - 0.15 * abs(layer - 4)) if model == "organism" else 0
        value = low + (PEAK[k] - low) * rise if k != "V4" else 6.5 - (6.5 - PEAK[k]) * rise
        value = round(value) if CRITERIA[k].full_n or k in ("V2", "V3", "V8") else value
        effect = (
            Effect(70 * rise + 1, {ISOTROPIC: Interval(4.2 * rise, 8 * rise + 1.1)})
            if k in ("V10", "V11")
            else None
        )
        spread = 0.05 * max(abs(value), 1)
        found.append(
            judge(
                Measurement(
                    k,
                    value,
                    N[k],
                    Interval(value - spread, value + spread),
                    {"isotropic random": Interval(low, high)},
                    effect,
                )
            ).as_dict()
        )
    return found


def write_run(folder: Path, model: str = "organism", layer: int = 4, **changes: Any) -> Path:
    """A finished run's folder; `changes` replace fields of result.json, or with `config__x` of its
    config.yaml."""
    rise = (1 - 0.15 * abs(layer - 4)) if model == "organism" else 0
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "status": "success",
        "experiment": "verify",
        "model": model,
        "layer": layer,
        "n_layers": 8,
        "span": "steered_activity",
        "seed": 0,
        "settings": {},
        "where": {},
        "started": f"2026-11-21T08:{layer:02}:00+00:00",
        "identity": f"{model}-{layer}",
        "code": "c0de" * 16,
        "stimuli": {
            "name": "organism",
            "sha256": "a8c4743a" * 8,
            "author": "a generator",
            "is_paper": False,
            "provenance": {},
        },
        "corpus": {
            "name": "pack organism",
            "author": "a generator",
            "sha256": "acce1e8c" * 8,
            "stories": 1536,
            "rejected": {},
        },
        "metrics": {
            "effect_ratio": 5.8 * rise + 0.9,
            "effect_ratio_low": 4.2 * rise,
            "effect_ratio_high": 8 * rise + 1.1,
            "mean_abs_delta_elo": 70 * rise + 1,
        },
        "verdicts": verdicts(model, layer),
        "notes": [],
        "provenance": {
            "emoexp": "0.1.0",
            "commit": "d9bae047" * 5,
            "dirty": False,
            "packages": {"torch": "2.13.0", "nnsight": "0.8.1"},
            "time": f"2026-11-21T09:{layer:02}:00+00:00",
            "model": {
                "repo_id": f"bundled:{model}",
                "files": f"{model}-weights",
                "dtype": "float32",
                "quantization": "none",
            },
        },
    }
    config = {
        "experiment": {"steering": {"strength": 0.5}},
        "layer": layer,
        "emotions": {"names": None},
        "scale": {"permutations": 1000},
    }
    for name, value in changes.items():
        target, key = (
            (config, name.removeprefix("config__"))
            if name.startswith("config__")
            else (record, name)
        )
        target[key] = (
            target[key] | value
            if isinstance(value, dict) and key != "experiment" and key in target
            else value
        )
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "config.yaml").write_text(
        yaml.safe_dump(config | {"run_dir": str(folder)}), encoding="utf-8"
    )
    return folder


def write_sweep(
    sweep: Path, models: Sequence[str] = MODELS, expected: Sequence[int] = LAYERS
) -> Path:
    """What Hydra leaves of `model=... layer=...`, with every job of LAYERS finished."""
    for model in models:
        for layer in LAYERS:
            write_run(sweep / f"layer={layer},model={model}", model, layer)
    (sweep / "sweep.json").write_text(
        json.dumps(
            {"expected": [f"layer={layer},model={model}" for model in models for layer in expected]}
        )
    )
    return sweep


def change(folder: Path, **fields: Any) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
