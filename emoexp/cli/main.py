"""The composition root: Hydra in, one typed Config, one experiment, one run directory out."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from emoexp.cli.log import logged
from emoexp.cli.sweep import report_sweeps
from emoexp.config import (
    Config,
    EmotionsConfig,
    LoggerConfig,
    ModelConfig,
    ScaleConfig,
    SpanConfig,
    StimuliConfig,
    StoriesConfig,
)
from emoexp.errors import EmoexpError, by_the_system, fail, one_line
from emoexp.places import CONF
from emoexp.store import runs
from emoexp.store.artifacts import write_text
from emoexp.store.distributed import rank

GROUPS = (
    "experiment",
    "model",
    "emotions",
    "stimuli",
    "stories",
    "span",
    "scale",
    "launcher",
    "logger",
)


def register_schemas() -> None:
    """The dataclasses as Hydra schemas: unknown keys and wrong types fail before anything runs."""
    from emoexp.experiments import EXPERIMENTS

    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    nodes = (
        ("model", ModelConfig),
        ("emotions", EmotionsConfig),
        ("stimuli", StimuliConfig),
        ("stories", StoriesConfig),
        ("span", SpanConfig),
        ("scale", ScaleConfig),
        ("logger", LoggerConfig),
    )
    for group, node in nodes:
        store.store(group=f"schema/{group}", name=group, node=node)
    for name, experiment in EXPERIMENTS.items():
        store.store(group="schema/experiment", name=name, node=experiment)


def check_choices(arguments: list[str]) -> None:
    """One line for a group's unknown option, before Hydra composes anything."""
    plain = [a for a in arguments if "=" in a and not a.startswith("-")]
    for override in OverridesParser.create().parse_overrides(plain):
        if override.key_or_group not in GROUPS:
            continue
        value: Any = override.value()
        chosen = value.list if hasattr(value, "list") else [value]
        allowed = sorted(p.stem for p in (CONF / override.key_or_group).glob("*.yaml"))
        for choice in chosen:
            if isinstance(choice, str) and choice not in allowed:
                raise EmoexpError(
                    f"unknown {override.key_or_group} {choice!r}: choose from {', '.join(allowed)}"
                )
        if (
            override.key_or_group == "launcher"
            and str(value).startswith(("slurm", "site_"))
            and shutil.which("srun") is None
        ):
            raise EmoexpError(
                f"launcher={value}: there is no srun here: start it on a cluster's login node, or"
                " take launcher=subprocess"
            )


def group_layers(arguments: list[str]) -> list[str]:
    """`layers_per_job=4` turns a sweep over layers into one over lists of them, each of which loads
    its model once.

    Raises:
        EmoexpError: it is not a number, or there is no sweep over layers.
    """
    name = "layers_per_job="
    if not (given := [a for a in arguments if a.startswith(name)]):
        return arguments
    size = given[-1].removeprefix(name)
    swept = [a for a in arguments if a.startswith("layer=")]
    if not size.isdigit() or int(size) < 1:
        raise EmoexpError(f"layers_per_job={size}: must be a whole number, at least 1")
    override = OverridesParser.create().parse_override(swept[-1]) if swept else None
    if (
        override is None
        or not override.is_sweep_override()
        or not {"-m", "--multirun"} & set(arguments)
    ):
        raise EmoexpError(
            "layers_per_job needs a sweep over layers: --multirun 'layer=range(10,30)'"
            " layers_per_job=5"
        )
    layers = [str(value) for value in override.sweep_string_iterator()]
    jobs = ",".join(
        f"[{','.join(layers[i : i + int(size)])}]" for i in range(0, len(layers), int(size))
    )
    return [*(a for a in arguments if not a.startswith((name, "layer="))), f"layer={jobs}"]


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def task(cfg: DictConfig) -> None:
    with logged():
        run_config(cfg)


def run_config(cfg: DictConfig) -> None:
    """Runs the composed configuration in Hydra's directory of the job."""
    job = HydraConfig.get()
    directory, sweep = Path(job.runtime.output_dir).absolute(), job.mode is RunMode.MULTIRUN
    cfg.run_dir = str(directory)
    if os.environ.get("SUBMITIT_EXECUTOR") == "local":
        signal.signal(signal.SIGINT, signal.default_int_handler)  # sweep._spare_controllers
    try:
        whole = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True, throw_on_missing=True)
        write_text(directory / "config.yaml", yaml.safe_dump(whole, sort_keys=False))
        config: Config = OmegaConf.to_object(cfg)  # type: ignore[assignment]
        if sweep:
            runs.check_code_unchanged(Path(job.sweep.dir).absolute(), config.allow_code_change)
        from emoexp.cli.run import run_layers

        run_layers(config, job.runtime.choices["experiment"], directory)
    except Exception as error:
        if not (isinstance(error, EmoexpError | OmegaConfBaseException) or by_the_system(error)):
            raise
        if sweep:
            # Hydra runs the other jobs and reports this one at the end; a bare message pickles
            raise EmoexpError(one_line(error)) from None
        fail(one_line(error))


def compose_config(overrides: Sequence[str]) -> Config:
    """Returns the configuration that a command line with these overrides has, without running it.

    Raises:
        EmoexpError: an override names what does not exist, or has a wrong value.
    """
    check_choices(list(overrides))
    register_schemas()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            cfg = compose("config", list(overrides))
        config: Config = OmegaConf.to_object(cfg)  # type: ignore[assignment]
    except (HydraException, OmegaConfBaseException) as error:
        raise EmoexpError(one_line(error)) from error
    return config


def main() -> None:
    """`python -m emoexp`: a user's mistake is one line and exit status 2 (`one_line_errors`)."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if rank() > 0:  # of a torchrun launch: the first process writes the results and prints them
        sys.argv.append(f"hydra.run.dir={tempfile.mkdtemp(prefix='emoexp-rank-')}")
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        sys.argv[1:] = group_layers(sys.argv[1:])
        check_choices(sys.argv[1:])
        register_schemas()
        gc.freeze()  # what is imported stays: __main__ has switched collection off meanwhile
        gc.enable()
        try:
            task()
        except Exception:
            report_sweeps()  # the table first, then the error
            raise
        report_sweeps()
    except (HydraException, OmegaConfBaseException) as error:
        fail(one_line(error))
    except Exception as error:
        if type(error).__module__.startswith(
            "submitit."
        ):  # sbatch refuses, or a job died without a word
            fail(one_line(error))
        raise
