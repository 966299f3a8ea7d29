"""Overrides: a name that does not exist is refused whatever its prefix, a text arrives as written,
and every number of the configuration has bounds."""

from __future__ import annotations

import linecache
import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from emoexp.blackmail.llm_judge import JudgeConfig
from emoexp.bounds import bounds_of
from emoexp.cli.main import compose_config
from emoexp.cli.overrides import CommandLine, refuse_launcher
from emoexp.cli.schema import settings
from emoexp.cli.source import hold_source
from emoexp.cli.usage import page
from emoexp.config import Config, ModelConfig, ScaleConfig, StoriesConfig
from emoexp.errors import EmoexpError
from emoexp.experiments import EXPERIMENTS

NUMBERED = [Config, ModelConfig, ScaleConfig, StoriesConfig, JudgeConfig, *EXPERIMENTS.values()]


def numeric() -> list[tuple[type, str, bool]]:
    """Every numeric field of every group, and whether it is a list."""
    known = [s for e in EXPERIMENTS for s in settings([e]).values()]
    by_field = {id(s.field): s for s in known}
    found = []
    for cls in NUMBERED:
        for spec in fields(cls):  # type: ignore[arg-type]
            kind = by_field[id(spec)].type if id(spec) in by_field else None
            inner = get_args(kind)[0] if get_origin(kind) is list else kind
            if inner in (int, float):
                found.append((cls, spec.name, inner is not kind))
    return found


@pytest.mark.parametrize(("cls", "name", "listed"), numeric())
def test_every_number_has_bounds(cls: type, name: str, listed: bool) -> None:
    wrong: list[Any] = [math.nan, math.inf, -math.inf, -1e12, 10**12, 10**400]
    for value in wrong:
        with pytest.raises(EmoexpError, match=rf"{name}="):
            cls(**{name: [value] if listed else value})
    for values in ([], [3, 3]) if listed else ():
        with pytest.raises(EmoexpError, match=rf"{name}="):
            cls(**{name: values})


def test_all_numeric_fields_are_seen() -> None:
    names = {f"{cls.__name__}.{name}" for cls, name, _ in numeric()}
    assert {"Drift.strengths", "Config.seed", "ModelConfig.batch_tokens"} <= names
    assert len(names) > 50
    assert all(is_dataclass(cls) and bounds_of is not None for cls in NUMBERED)


@pytest.mark.parametrize("prefix", ["", "+", "++", "~"])
@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("emotion=core12", "emotions"),
        ("model.dtypee=float16", "model.dtype"),
        ("layers=2", "layer"),
        ("experiment.steering.strenght=3", "experiment.steering.strength"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(prefix: str, name: str, near: str) -> None:
    with pytest.raises(EmoexpError, match=rf"did you mean {near}\?") as told:
        CommandLine.of([prefix + name])
    assert "+" not in str(told.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("emotions.names=happy", "must be a list of texts"),
        ("emotions.names=[happy,null,sad]", "must be a list of texts"),
        ("seed=abc", "seed=abc: must be a whole number"),
        ("seed=" + "9" * 5000, "a number of that many digits is not read"),
        ("span.kind=foo", "must be one of steered_activity"),
        ("model.quantization=nf5", "must be one of none, int8, nf4"),
        ("force=maybe", "must be true or false"),
        ("logger.mode=foo", "must be one of online, offline, or null"),
        ("stimuli=custom", "stimuli.path is not set: give stimuli.path="),
        ("model=custom", "model.repo_id is not set"),
        ("model=null", "unknown model 'null'"),
        ("layer=3,4", "is a sweep: add --multirun, or write a list"),
        ("experiment=implicit,numeric", "is a sweep: add --multirun$"),
        ("seed=1,2", "is a sweep: add --multirun$"),
        ("emotions.names=sad,calm", "must be a list of texts|or write a list"),
        ("vectors=", "vectors= is empty: give a text, or null, or leave it out"),
        ("stimuli=custom stimuli.path=''", "stimuli.path= is empty: give a text"),
        ("--multirun layer=range(9,3)", "names no value"),
        ("--experiment=implicit", "a setting has no dashes: experiment=implicit"),
        ("experiment==implicit", "one = is enough: experiment=implicit"),
        ("experiment=implicit experiment.layers=[2]", r"did you mean layer\?"),
        ("experiment=preference experiment.foo=1", "this experiment has no settings of its own"),
        ("seed==1", "one = is enough: seed=1"),
        ("implicit", "did you mean experiment=implicit"),
        ("stories.columns={text: b}", "the shell has split it"),
    ],
)
def test_a_mistake_names_what_is_allowed(arguments: str, says: str) -> None:
    with pytest.raises(EmoexpError, match=says):
        compose_config(arguments.split(" "))


@pytest.mark.parametrize("override", ["launcher=subprocess", "hydra/launcher=joblib"])
def test_a_launcher_of_jobs_needs_a_sweep(override: str) -> None:
    refuse_launcher(["launcher=local", "layer=3"])
    with pytest.raises(EmoexpError, match=f"python -m emoexp --multirun {override}"):
        refuse_launcher([override])


@pytest.mark.parametrize(
    "text", ["12e3456", "1e5", "0123", "1_000", "true", "nan", "none", "a=b,c", "~/ü (1)'x", "[a]"]
)
def test_a_text_arrives_as_written(text: str) -> None:
    assert compose_config([f"model.revision={text}"]).model.revision == text


def test_the_home_directory_is_known_behind_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/at/home")
    line = CommandLine.of(["hydra.run.dir=~/a=b", "hydra.sweep.dir=~/c", "--multirun"])
    assert line.overrides == ["hydra.run.dir='/at/home/a=b'", "hydra.sweep.dir=/at/home/c"]


def test_columns_are_given_as_a_mapping() -> None:
    one, more = compose_config(["stories.columns={text: body}"]), "+stories.columns.emotion=felt"
    assert one.stories.columns == {"text": "body"}
    both = compose_config(["stories.columns={text: body}", more]).stories.columns
    assert both == {"text": "body", "emotion": "felt"}


def test_help_of_an_experiment_names_its_settings() -> None:
    text = page(["experiment=drift", "--help"])
    assert "experiment.smooth=8    a whole number, at least 1" in text
    assert "one of generated, turn, all" in text


def test_a_file_edited_meanwhile_keeps_its_source(tmp_path: Path) -> None:
    file = tmp_path / "traced.py"
    file.write_text("before = 1\n")
    hold_source(str(file))
    file.write_text("# a line more\nafter = 2\n")
    linecache.checkcache(str(file))
    assert linecache.getlines(str(file)) == ["before = 1\n"]
