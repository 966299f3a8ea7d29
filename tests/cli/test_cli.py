"""The command line: every experiment composes, every mistake is one line, a run leaves what it
should, from any directory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from emoexp.cli.main import CONF, compose_config, name_of, register_schemas
from emoexp.cli.overrides import GROUPS
from emoexp.cli.sweep import run_name
from emoexp.config import Config, resolve_layer
from emoexp.errors import EmoexpError
from emoexp.experiments import EXPERIMENTS
from emoexp.stimuli import BUNDLED
from tests.helpers.command import emoexp

SMOKE = ("scale=smoke", "experiment.n_emotions=6")


@pytest.mark.parametrize("experiment", list(EXPERIMENTS))
@pytest.mark.parametrize("model", ["organism", "organism_indifferent", "organism_untrained"])
def test_every_experiment_composes_with_every_model(experiment: str, model: str) -> None:
    register_schemas()
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        config: Config = OmegaConf.to_object(
            compose("config", [f"experiment={experiment}", f"model={model}"])
        )  # type: ignore[assignment]
    assert type(config.experiment) is EXPERIMENTS[experiment]
    assert config.model.name == model


def test_a_model_of_the_hub_brings_stimuli_that_suit_it_and_the_user_has_the_last_word() -> None:
    """The organism's pack is in the organisms' own language: it would measure nothing on a real
    model."""
    register_schemas()
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        default, chosen = (
            compose("config", ["model=llama8b", *more])
            for more in ([], ["stimuli=paper", "emotions=core12", "stories=medium"])
        )
        preset = compose("config", ["model=llama8b", "preset=organism", "emotions=core12"])
    assert (preset.stimuli.path, preset.stories.name) == ("bundled:organism", "pack")
    assert len(preset.emotions.names) == 12
    assert (default.stimuli.path, default.stories.name, len(default.emotions.names)) == (
        "bundled:emoexp",
        "starter",
        30,
    )
    assert (chosen.stimuli.path, chosen.stories.name, len(chosen.emotions.names)) == (
        "imported:paper",
        "medium",
        12,
    )


def test_an_option_with_other_settings_is_the_same_experiment() -> None:
    config = compose_config(["experiment=blackmail_organism"])
    assert name_of(config.experiment) == "blackmail"
    assert config.experiment.max_new_tokens == 80


def test_every_experiment_has_its_file() -> None:
    assert {p.stem for p in (CONF / "experiment").glob("*.yaml")} >= set(EXPERIMENTS)
    assert all((CONF / group).is_dir() for group in GROUPS)


@pytest.mark.parametrize(
    ("layer", "depth", "wanted"),
    [("auto", 32, 21), ("auto", 8, 5), ("auto", 16, 10), (0.5, 8, 4), (3, 8, 3), (0, 8, 0)],
)
def test_layers_resolve(layer: object, depth: int, wanted: int) -> None:
    assert resolve_layer(layer, depth) == wanted


@pytest.mark.parametrize("layer", [-1, 8, 1.5, 0.0, "middle", True])
def test_bad_layers_are_refused(layer: object) -> None:
    with pytest.raises(EmoexpError, match="layer="):
        resolve_layer(layer, 8)


def bad_pack(tmp_path: Path) -> str:
    pack = Path(shutil.copytree(BUNDLED / "organism", tmp_path / "pack"))
    lines = (pack / "activities.csv").read_text().splitlines()
    (pack / "activities.csv").write_text("\n".join(lines[:-1]) + "\n")
    return str(pack)


def corrupted_vectors(tmp_path: Path) -> str:
    path = tmp_path / "vectors.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all")
    return str(path)


def pack_with(tmp_path: Path, change: str) -> str:
    pack = Path(shutil.copytree(BUNDLED / "organism", tmp_path / "stories"))
    rows = [json.loads(line) for line in (pack / "stories.jsonl").read_text().splitlines()]
    if change == "empty":
        rows = [r for r in rows if r["emotion"] != "sad"]
    else:
        happy = [row for row in rows if row["emotion"] == "happy"]
        for k, row in enumerate(happy):
            row["text"] = f"Cart {k} rolled by."
    (pack / "stories.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(pack)


MISTAKES: list[tuple[list[str], str]] = [
    (["model=claude"], "unknown model 'claude': choose from"),
    (["experiment=magic"], "unknown experiment 'magic': choose from"),
    (["span=everything"], "unknown span 'everything': choose from"),
    (["emotions.names=[happy,glad,sad]"], "unknown emotion(s) glad"),
    (
        ["layer=8", "experiment=implicit"],
        "layer=8 is out of range: the model has 8 blocks, 0 to 7",
    ),
    (["layer=-1"], "layer=-1 is negative"),
    (["layer=middle"], "layer='middle' is not a layer"),
    (["experiment.steering.strenght=1"], "strenght"),
    (["experiment=steering", "experiment.strength=0"], "experiment.strength=0.0"),
    (
        ["experiment=steering", "layer=7"],
        "added at layer 7 on an activity's tokens cannot reach the answer",
    ),
    (["nonsense=1"], "nonsense"),
    (["scale.null_draws=3"], "scale.null_draws=3: must be at least 100"),
    (["model=custom"], "model.repo_id is not set"),
    (["model=llama8b,organism"], "model=llama8b,organism"),
    (["stories=screen"], "the pack 'organism' has no template for story and dialogue"),
    (["stories.top_p=0"], "stories.top_p=0.0: must be above 0"),
    (
        ["model=custom", "model.repo_id=/nowhere/at/all"],
        "model.repo_id='/nowhere/at/all' is not a folder, nor an id of the hub",
    ),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=[" ".join(a) for a, _ in MISTAKES])
def test_a_mistake_is_one_line_and_a_status(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    done = emoexp(*arguments, cwd=tmp_path)
    ours = [line for line in done.stderr.splitlines() if line.startswith("emoexp: ")]
    assert done.returncode == 2, done.stderr[-2000:]
    assert len(ours) == 1
    assert said in ours[0]
    assert "Traceback" not in done.stderr
    assert "Error executing job" not in done.stderr


def test_a_small_set_leaves_out_what_it_cannot_measure_and_says_so(tmp_path: Path) -> None:
    """Nothing is filled in, and what can be measured is not lost."""
    done = emoexp(
        "emotions=core12",
        "scale=smoke",
        "experiment.steering.n_emotions=3",
        "layer=7",
        "hydra.run.dir=run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [v["id"] for v in record["verdicts"]] == ["V1", "V3", "V4", "V5", "V6", "V7", "V8", "V9"]
    assert [note.split(":")[0] for note in record["notes"]] == ["not measured", "not measured"]
    assert {v["id"]: v["threshold"] for v in record["verdicts"]}["V1"] == 2


def test_a_late_mistake_loses_nothing(tmp_path: Path) -> None:
    """The steering's band is looked at last: what the other validations found stands in the result
    all the same."""
    done = emoexp(
        "emotions=core12",
        "scale=smoke",
        "experiment.steering.band=[3]",
        "hydra.run.dir=run",
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "leaves out layer=5" in done.stderr
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert record["status"] == "error"
    assert [v["id"] for v in record["verdicts"]] == ["V1", "V3", "V4", "V5", "V6", "V7", "V8", "V9"]
    assert (tmp_path / "run" / "implicit.csv").exists()


@pytest.mark.parametrize(
    ("build", "argument", "says"),
    [
        (bad_pack, "stimuli=custom stimuli.path={}", "63 activities, must be 64"),
        (corrupted_vectors, "experiment=implicit vectors={}", "is not a whole safetensors file"),
        (
            lambda p: pack_with(p, "empty"),
            "experiment=implicit stimuli=custom stimuli.path={}",
            "has no stories of 'sad'",
        ),
        (
            lambda p: pack_with(p, "short"),
            "experiment=implicit stimuli=custom stimuli.path={} emotions=core12",
            "0 stories of 'happy' are left, at least 1 needed: left out are 24 with 50 tokens",
        ),
    ],
)
def test_bad_files_are_one_line_and_the_run_says_so(
    build: object, argument: str, says: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = emoexp(*argument.format(build(tmp_path)).split(), f"hydra.run.dir={run}", cwd=tmp_path)  # type: ignore[operator]
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    record = json.loads((run / "result.json").read_text())
    assert record["status"] == "error"
    assert says in record["error"]


def test_a_run_leaves_its_config_result_tables_and_figures(tmp_path: Path) -> None:
    done = emoexp("experiment=implicit", "layer=4", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    run = tmp_path / "run"
    record = json.loads((run / "result.json").read_text())
    assert {
        "status",
        "experiment",
        "model",
        "layer",
        "stimuli",
        "metrics",
        "verdicts",
        "provenance",
    } <= set(record)
    assert (record["status"], record["experiment"], record["model"], record["layer"]) == (
        "success",
        "implicit",
        "organism",
        4,
    )
    wanted = [
        "id",
        "name",
        "value",
        "n",
        "threshold",
        "passed",
        "ci_low",
        "ci_high",
        "null_low",
        "null_high",
        "informative",
        "paper",
        "llama8b",
    ]
    assert [set(wanted) <= set(v) for v in record["verdicts"]] == [True, True]
    assert record["provenance"]["model"]["files"]
    assert record["corpus"]["author"] == record["stimuli"]["author"]
    assert yaml.safe_load((run / "config.yaml").read_text())["layer"] == 4
    assert (run / "implicit.csv").exists()
    assert (run / "implicit.png").stat().st_size > 5000
    assert "V3" in done.stdout
    again = emoexp(
        "experiment=implicit",
        "layer=4",
        f"vectors={run / 'vectors.safetensors'}",
        "hydra.run.dir=again",
        cwd=tmp_path,
    )
    assert again.returncode == 0, again.stderr[-2000:]
    # a file of vectors has no stories to shuffle the labels of, so a null is missing
    same = set(wanted) - {"null_low", "null_high"}
    verdicts = json.loads((tmp_path / "again" / "result.json").read_text())["verdicts"]
    assert [{k: v[k] for k in same} for v in verdicts] == [
        {k: v[k] for k in same} for v in record["verdicts"]
    ]
    other = emoexp(
        "experiment=implicit", "layer=3", f"vectors={run / 'vectors.safetensors'}", cwd=tmp_path
    )
    assert "holds vectors of layer 4, not 3" in other.stderr


def test_a_sweep_runs_in_process_and_ends_in_one_table(tmp_path: Path) -> None:
    done = emoexp(
        "--multirun",
        "experiment=implicit",
        "layer=3,4",
        "scale=smoke",
        "hydra.sweep.dir=sweep",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(p.parent.name for p in (tmp_path / "sweep").glob("*/result.json")) == [
        run_name([f"layer={layer}", "experiment=implicit", "scale=smoke"]) for layer in (3, 4)
    ]
    assert (tmp_path / "sweep" / "layers.png").exists()
    table = emoexp("sweep", cwd=tmp_path, module="emoexp.report")
    assert "V3 scenarios: own probe highest" in table.stdout
    assert emoexp("nowhere", cwd=tmp_path, module="emoexp.report").returncode == 2
