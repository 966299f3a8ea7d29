"""The composition root: Hydra in, one typed Config, one experiment, one run directory out."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from emoexp.cli.log import logged
from emoexp.cli.overrides import GROUPS, CommandLine, explained, refuse_launcher, refuse_missing
from emoexp.cli.slurm import add_request, advice
from emoexp.cli.sweep import report_sweeps
from emoexp.config import Config
from emoexp.errors import EmoexpError, by_the_system, fail, one_line
from emoexp.places import CONF
from emoexp.store import runs
from emoexp.store.distributed import rank


def register_schemas() -> None:
    """The dataclasses as Hydra schemas: unknown keys and wrong types fail before anything runs."""
    from emoexp.experiments import EXPERIMENTS

    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, experiment in EXPERIMENTS.items():
        store.store(group="schema/experiment", name=name, node=experiment)


def tell_choices(choices: Mapping[str, Any]) -> None:
    """Writes one line: the option that was taken of each group, whoever chose it."""
    taken = " ".join(f"{group}={choices[group]}" for group in GROUPS if group in choices)
    sys.stderr.write(f"emoexp {taken}\n")


def name_of(experiment: Any) -> str:
    """Returns the name under which a configured experiment is registered, whichever option of the
    group `experiment` configures it."""
    from emoexp.experiments import EXPERIMENTS

    return next(name for name, kind in EXPERIMENTS.items() if type(experiment) is kind)


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
        refuse_missing(cfg, job.overrides.task)
        config: Config = OmegaConf.to_object(cfg)  # type: ignore[assignment]
        if sweep:
            runs.check_code_unchanged(Path(job.sweep.dir).absolute(), config.allow_code_change)
        from emoexp.cli.run import run_layers

        tell_choices(job.runtime.choices)
        run_layers(config, name_of(config.experiment), directory)
    except Exception as error:
        if not (isinstance(error, EmoexpError | OmegaConfBaseException) or by_the_system(error)):
            raise
        if sweep:
            # Hydra runs the other jobs and reports this one at the end; a bare message pickles
            raise explained(error, job.overrides.task) from None
        fail(str(explained(error, job.overrides.task)))


def compose_config(overrides: Sequence[str]) -> Config:
    """Returns the configuration that a command line with these overrides has, without running it.

    Raises:
        EmoexpError: an override names what does not exist, or has a wrong value.
    """
    checked = CommandLine.of(overrides).overrides
    register_schemas()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            cfg = compose("config", checked)
        refuse_missing(cfg, checked)
        config: Config = OmegaConf.to_object(cfg)  # type: ignore[assignment]
    except (HydraException, OmegaConfBaseException) as error:
        raise explained(error, checked) from error
    return config


def check_jobs(line: CommandLine) -> None:
    """Composes a sweep's configurations before its first job starts: each value of each swept
    setting once, with the first values of the others.

    Raises:
        EmoexpError: a job's configuration is wrong.
    """
    values = line.values()
    first = [each[0] for each in values]
    for k, each in enumerate(values):
        for value in each[1:] if k else each:
            compose_config([*first[:k], value, *first[k + 1 :]])


def main() -> None:
    """`python -m emoexp`: a user's mistake is one line and exit status 2 (`one_line_errors`)."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if rank() > 0:  # of a torchrun launch: the first process writes the results and prints them
        sys.argv.append(f"hydra.run.dir={tempfile.mkdtemp(prefix='emoexp-rank-')}")
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    overrides: list[str] = []
    try:
        line = CommandLine.of(sys.argv[1:])
        overrides = line.overrides
        register_schemas()
        if line.runs and line.multirun:
            check_jobs(line)
            overrides = add_request(overrides, compose_config)
        elif line.runs:
            refuse_launcher(overrides)
        sys.argv[1:] = [*overrides, *line.flags]
        try:
            task()
        except Exception:
            report_sweeps()  # the table first, then the error
            raise
        report_sweeps()
    except (HydraException, OmegaConfBaseException) as error:
        fail(str(explained(error, overrides)))
    except Exception as error:
        # sbatch refuses, or a job died without a word
        if type(error).__module__.startswith("submitit."):
            fail(f"{one_line(error)}{advice(one_line(error))}")
        raise
