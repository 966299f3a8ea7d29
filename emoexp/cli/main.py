"""The composition root: Hydra in, one typed Config, one experiment, one run directory out."""

from __future__ import annotations

import gc
import json
import math
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

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
from emoexp.errors import EmoexpError
from emoexp.places import CONF
from emoexp.store import runs
from emoexp.store.distributed import rank

if TYPE_CHECKING:
    from emoexp.study.result import Result
    from emoexp.study.study import Study

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


def run(
    config: Config,
    name: str,
    directory: Path,
    study: Study | None = None,
    group: Path | None = None,
) -> None:
    """Runs one experiment and leaves config.yaml, result.json, tables and figures in `directory`;
    `group` is the sweep that it is of.

    Raises:
        EmoexpError: a mistake of the user's; the record says so, and keeps what had been found.
    """
    from emoexp.cli.wandb import Tracker, group_of, mirror, open_tracker
    from emoexp.store.provenance import provenance
    from emoexp.store.record import RunStatus, write_json
    from emoexp.study.result import print_result
    from emoexp.study.study import Study

    study = study or Study(config)
    record: dict[str, Any] = {
        "status": RunStatus.started.value,
        "experiment": name,
        "model": config.model.name,
        "layer": None,
        "n_layers": None,
        "stimuli": None,
        "corpus": None,
        "span": config.span.kind.value,
        "seed": config.seed,
        "metrics": {},
        "verdicts": [],
        "notes": [],
        "identity": runs.identity_of(name, as_plain(config)),
        "code": runs.code_hash(),
        "where": runs.host_info(),
        "started": runs.now(),
        "provenance": provenance(),
    }
    target = directory / runs.RESULT
    write_json(target, record)
    told = {
        "directory": directory,
        "group": group_of(group or directory.parent),
        "experiment": name,
        "model": config.model.name,
        "layer": config.layer,
        "config": as_plain(config),
    }
    with ExitStack() as stack:
        tracker = Tracker()
        try:
            tracker = stack.enter_context(open_tracker(config.logger, told))
            result = config.experiment.run(study)
            keep(record, result, study, directory)
            if wrong := drop_nan(record):
                raise EmoexpError(f"{not_numbers(wrong)}; the other results are kept")
            record |= {"status": RunStatus.success.value, "ended": runs.now()}
        except BaseException as error:
            # submitit ends a job so that it has given back to SLURM
            found = (
                "pre-empted or out of time: queued again"
                if isinstance(error, SystemExit)
                else f"{type(error).__name__}: {error}"
            )
            record |= {
                "status": RunStatus.error.value,
                "error": found,
                "traceback": traceback.format_exc(),
                "ended": runs.now(),
            }
            if (before := getattr(error, "partial", None)) is not None:
                keep(record, before, study, directory)
            if wrong := drop_nan(record):
                record["error"] += f"; {not_numbers(wrong)}"
            raise
        finally:
            write_json(target, record)
            mirror(tracker, record, directory)
    where = f"{name}: {config.model.name}" + (
        f", layer {record['layer']} of 0..{study.model.n_layers - 1}"
        if record["layer"] is not None
        else ""
    )
    print_result(
        result,
        where + f", span {config.span.kind.value}",
        origin(record),
        config.experiment.shown,
        directory,
    )


def drop_nan(found: Any, prefix: str = "") -> list[str]:
    """Takes the numbers that are not finite out of a record, in place, and returns their names.

    A metric goes with its name, since readers draw all that are there; any other becomes null.
    """
    wrong = []
    for key, value in list(found.items() if isinstance(found, dict) else enumerate(found)):
        if isinstance(value, dict | list):
            wrong += drop_nan(value, f"{prefix}{key}.")
        elif isinstance(value, float) and not math.isfinite(value):
            wrong.append(f"{prefix}{key}")
            found[key] = None
            if prefix == "metrics.":
                del found[key]
    return wrong


def not_numbers(names: list[str]) -> str:
    """Says which results are not numbers."""
    return f"not a number: {', '.join(name.removeprefix('metrics.') for name in names)}"


def as_plain(config: Config) -> dict[str, Any]:
    """The config as it would stand in JSON."""
    plain: dict[str, Any] = json.loads(
        json.dumps(asdict(config), default=lambda value: value.value)
    )
    return plain


def run_once(
    config: Config,
    name: str,
    directory: Path,
    make: Callable[[], Study] | None = None,
    group: Path | None = None,
) -> None:
    """`run`, unless the directory has the result of this very run already; `make` gives the study,
    and is called only if it is needed.

    Raises:
        EmoexpError: another process runs there, or it has the result of another run or of other
            code.
    """
    with runs.run_lock(directory):
        record = runs.read_record(directory)
        if record.get("status") == "success" and not config.force:
            if record["identity"] != runs.identity_of(name, as_plain(config)):
                raise EmoexpError(
                    f"{directory} has the result of another run: give another hydra.run.dir or"
                    " hydra.sweep.dir, or force=true"
                )
            if record["code"] != runs.code_hash() and not config.allow_code_change:
                raise EmoexpError(
                    f"{directory} was computed with other code: force=true computes it again,"
                    " allow_code_change=true keeps it"
                )
            sys.stderr.write(f"done already: {directory}\n")
            return
        run(config, name, directory, make() if make else None, group)


def run_layers(config: Config, name: str, directory: Path) -> None:
    """One layer, or each of a list of them in a directory of its own, with the model loaded once. A
    layer that fails leaves the others alone.

    Raises:
        EmoexpError: some layer failed; it names them.
    """
    from emoexp.study.study import Study

    if not isinstance(config.layer, list):
        run_once(config, name, directory)
        return
    first, failed = Study(replace(config, layer=config.layer[0])), []
    for layer in config.layer:
        place = directory / f"layer={layer}"
        one = replace(config, layer=layer, run_dir=str(place))
        try:
            run_once(one, name, place, partial(Study, one, first), directory.parent)
        except EmoexpError as error:
            failed.append(f"layer {layer}: {one_line(error)}")
    if failed:
        raise EmoexpError(
            f"{len(failed)} of {len(config.layer)} layers failed, the others are done:"
            f" {'; '.join(failed)}"
        )


def origin(record: dict[str, Any]) -> str:
    """One line: which pack, and which stories by whom."""
    pack, corpus = record["stimuli"], record["corpus"]
    parts = [] if pack is None else [f"stimuli: {pack['name']} {pack['sha256'][:8]}"]
    if corpus is not None:
        rejected = sum(corpus["rejected"].values())
        parts.append(
            f"stories: {corpus['name']}, {corpus['stories']} by {corpus['author']}"
            + (f", {rejected} rejected" if rejected else "")
        )
    if (answers := record.get("answers")) is not None:
        first, second = answers["options"]
        parts.append(
            f"answers: {answers['reading']}, {first!r} or {second!r} after {answers['after']!r},"
            f" p(A) + p(B) {answers['mass']:.2f} ({answers['mass_below_half']:.0%} of prompts"
            " below .5)"
        )
    return "; ".join(parts)


def keep(record: dict[str, Any], result: Result, study: Study, directory: Path) -> None:
    """Puts what was found, and what it was found with, into the record; tables and figures into the
    directory."""
    if study.used("layer"):
        record["layer"] = study.layer
    if study.used("stimuli"):
        pack = study.stimuli
        record["stimuli"] = {
            "name": pack.name,
            "sha256": pack.sha256,
            "author": pack.author,
            "is_paper": pack.is_paper,
            "provenance": pack.provenance,
        }
    if study.used("corpus"):
        record["corpus"] = study.corpus.summary() | (
            {"used": study.means.summary()} if study.used("means") else {}
        )
    if study.used("model"):
        record["n_layers"] = study.model.n_layers
        record["provenance"]["model"] = study.model.identity | study.model.format_identity
    if study.used("baseline"):
        record["answers"] = study.preferences.answer_summary(study.artifacts)
    result.save(directory)
    record |= {
        "metrics": result.metrics,
        "verdicts": [v.as_dict() for v in result.verdicts],
        "notes": result.notes,
    }


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def task(cfg: DictConfig) -> None:
    job = HydraConfig.get()
    directory, sweep = Path(job.runtime.output_dir).absolute(), job.mode is RunMode.MULTIRUN
    cfg.run_dir = str(directory)
    try:
        whole = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True, throw_on_missing=True)
        (directory / "config.yaml").write_text(
            yaml.safe_dump(whole, sort_keys=False), encoding="utf-8"
        )
        config: Config = OmegaConf.to_object(cfg)  # type: ignore[assignment]
        if sweep:
            runs.check_code_unchanged(Path(job.sweep.dir).absolute(), config.allow_code_change)
        run_layers(config, job.runtime.choices["experiment"], directory)
    except (EmoexpError, OmegaConfBaseException) as error:
        if (
            sweep
            # the other jobs of the sweep go on, and Hydra reports this one at the end; a bare
            # message
            # survives any pickling
        ):
            raise EmoexpError(one_line(error)) from None
        fail(error)


def fail(error: BaseException) -> NoReturn:
    """One line and exit status 2."""
    sys.stderr.write(f"emoexp: {one_line(error)}\n")
    sys.exit(2)


def one_line(error: BaseException) -> str:
    """The message to show: our own where there is one down the chain of causes, else the first that
    says something."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    ours = [e for e in chain if isinstance(e, EmoexpError)]
    text = next((str(e) for e in ours or chain if str(e).strip()), type(error).__name__)
    return " ".join(text.split())


def main() -> None:
    """`python -m emoexp`: a user's mistake is one line and exit status 2."""
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
        finally:
            report_sweeps()  # the table first, then the error
    except (EmoexpError, HydraException, OmegaConfBaseException) as error:
        fail(error)
    except Exception as error:
        if type(error).__module__.startswith(
            "submitit."
        ):  # sbatch refuses, or a job died without a word
            fail(error)
        raise
