"""Runs experiments in their directories: one, or one for each layer of a list."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from emoexp.cli.source import hold_code
from emoexp.cli.wandb import Tracker, group_of, mirror, open_tracker
from emoexp.config import Config, LoggerKind
from emoexp.errors import EmoexpError, one_line, out_of_memory, require
from emoexp.figures.process import FigureProcess
from emoexp.interrupts import interruption
from emoexp.store import runs
from emoexp.store.artifacts import write_text
from emoexp.store.provenance import provenance
from emoexp.store.record import RunRecord, RunStatus, SavedRun, save_tables
from emoexp.stories.losses import loss_notes
from emoexp.study.experiment import Bootstrap
from emoexp.views.terminal import print_run
from emoexp.views.write import write_views

if TYPE_CHECKING:
    from emoexp.study.result import Result
    from emoexp.study.study import Study


def as_plain(config: Config) -> dict[str, Any]:
    """Returns the configuration as JSON holds it."""
    return dict(json.loads(json.dumps(asdict(config), default=lambda value: value.value)))


def started_record(config: Config, name: str) -> RunRecord:
    """Returns the record of a run that is about to start."""
    plain = as_plain(config)
    # a NaN or an infinity in a setting, which JSON cannot hold, is kept as text
    settings = json.loads(json.dumps(plain["experiment"]), parse_constant=str)
    return RunRecord(
        experiment=name,
        model=config.model.name,
        span=config.span.kind.value,
        seed=config.seed,
        settings=settings,
        identity=runs.identity_of(name, config),
        code=runs.code_hash(),
        where=runs.host_info(),
        started=runs.now(),
        provenance=provenance(),
    )


def run(
    config: Config,
    name: str,
    directory: Path,
    study: Study | None = None,
    figures: FigureProcess | None = None,
    group: Path | None = None,
) -> None:
    """Runs one experiment and leaves result.json, tables and views in `directory`.

    Args:
        study: what it runs on; by default a new one.
        figures: draws the figures; None draws none.
        group: the sweep that the run belongs to.

    Raises:
        EmoexpError: a mistake of the user; the record says so, and keeps what was found before it.
    """
    from emoexp.study.study import Study

    study = study or Study(config)
    record = started_record(config, name)
    # here, where the directory is locked: a twin that is refused leaves the settings as they are
    write_text(directory / "config.yaml", yaml.safe_dump(as_plain(config), sort_keys=False))
    record.save(directory)
    with tracked(config, record, directory, figures, group or directory.parent):
        try:
            config.experiment.check(study)
            result = config.experiment.run(study)
            keep(record, result, study, directory)
            if wrong := record.drop_not_finite():
                raise EmoexpError(f"not a number: {', '.join(wrong)}; the other results are kept")
            record.status = RunStatus.success
        except BaseException as error:
            fail_record(record, error)
            keep_partial(record, error, study, directory)
            check_memory(error, config)
            raise
        finally:
            record.ended = runs.now()
            record.save(directory)
    print_run(SavedRun(directory, record))


@contextmanager
def tracked(
    config: Config, record: RunRecord, directory: Path, figures: FigureProcess | None, group: Path
) -> Iterator[None]:
    """Opens the tracker, and when the block ends, however it ends, draws and mirrors the run."""
    tracked_as = {
        "directory": directory,
        "group": group_of(group),
        "experiment": record.experiment,
        "model": record.model,
        "layer": config.layer,
        "config": as_plain(config),
    }
    tracker = Tracker()
    try:
        with open_tracker(config.logger, tracked_as) as tracker:
            try:
                yield
            finally:
                if figures is not None and not isinstance(sys.exception(), KeyboardInterrupt):
                    figures.draw(directory)
                    if config.logger.kind is not LoggerKind.none:
                        figures.wait()
                mirror(tracker, record.as_dict(), directory)
    except BaseException as error:
        if record.status is RunStatus.started:  # the tracker itself did not open
            fail_record(record, error)
            record.ended = runs.now()
            record.save(directory)
        raise


def fail_record(record: RunRecord, error: BaseException) -> None:
    """Sets the status and the reason of a run that failed."""
    record.status, record.traceback = RunStatus.error, traceback.format_exc()
    record.error = f"{type(error).__name__}: {error}"
    if line := interruption(error):
        record.error, record.traceback = line, None
    if isinstance(error, SystemExit):  # submitit ends a job like this after it has requeued it
        record.error = "pre-empted or out of time: queued again"


def check_memory(error: BaseException, config: Config) -> None:
    """Raises EmoexpError in place of an error whose cause is that memory ran out, on the GPU or on
    the machine."""
    if out_of_memory(error):
        raise EmoexpError(
            f"out of memory; what was computed is kept: run the same command again with less than"
            f" model.batch_tokens={config.model.batch_tokens}, or on a larger machine"
        ) from error


def keep_partial(record: RunRecord, error: BaseException, study: Study, directory: Path) -> None:
    """Keeps what was found before the error, and names the numbers that are not finite."""
    if (before := getattr(error, "partial", None)) is not None:
        keep(record, before, study, directory)
    if wrong := record.drop_not_finite():
        record.error = f"{record.error}; not a number: {', '.join(wrong)}"


def keep(record: RunRecord, result: Result, study: Study, directory: Path) -> None:
    """Puts the findings and what they were found with into the record, and saves the tables."""
    if study.used("layer"):
        record.layer = study.layer
    if study.used("stimuli"):
        pack = study.stimuli
        names = ("name", "sha256", "author", "is_paper", "provenance")
        record.stimuli = {name: getattr(pack, name) for name in names}
        record.stimuli["steered"] = [i for i, a in enumerate(pack.activities) if a.steered]
    if study.used("corpus"):
        used = {"used": study.means.summary()} if study.used("means") else {}
        record.corpus = study.corpus.summary() | used
    if study.used("model"):
        model, record.n_layers = study.model, study.model.n_layers
        more = {"repo_id": model.config.repo_id, "bos": model.bos}
        record.provenance["model"] = model.identity | model.format_identity | more
    if study.used("baseline"):
        record.answers = study.preferences.answer_summary(study.artifacts)
    if study.used("valence"):
        add_norms(record, result, study)
    record.metrics, record.verdicts = result.metrics, result.verdicts
    record.notes = [*(loss_notes(record.corpus) if record.corpus else ()), *result.notes]
    save_tables(record, result.tables, directory)
    write_views(SavedRun(directory, record), Bootstrap.of(study.config))


def add_norms(record: RunRecord, result: Result, study: Study) -> None:
    """Adds the human norms that gave the valence, if any: where they are from, their coverage, and
    where they contradict the signs of the pack."""
    from emoexp.stimuli.norms import sign_note, sign_table

    if study.norms is None:
        return
    record.provenance["norms"] = {"source": study.config.emotions.norms, **study.norms.summary()}
    result.tables["norms"] = sign_table(study.norms, study.stimuli.valence)
    result.notes += [study.norms.coverage(), sign_note(result.tables["norms"])]


def run_once(
    config: Config,
    name: str,
    directory: Path,
    make: Callable[[], Study],
    figures: FigureProcess,
    group: Path | None = None,
) -> None:
    """Runs unless the directory has the result of this very run already.

    Args:
        make: returns the study; called only if it is needed.

    Raises:
        EmoexpError: another process runs there, or the directory has the result of another run or
            of other code.
    """
    with runs.run_lock(directory):
        record = None if config.force else RunRecord.load(directory)
        if record is None or record.status is not RunStatus.success:
            run(config, name, directory, make(), figures, group)
            return
        require(
            record.identity == runs.identity_of(name, config),
            f"{directory} has the result of another run: give another hydra.run.dir or"
            " hydra.sweep.dir, or force=true",
        )
        require(
            config.allow_code_change or record.code == runs.code_hash(),
            f"{directory} was computed with other code: force=true computes it again,"
            " allow_code_change=true keeps it",
        )
        sys.stderr.write(f"done already: {directory}\n")


def run_layers(config: Config, name: str, directory: Path) -> None:
    """Runs one layer, or each of a list of them in its own directory with one loaded model.

    Figures are drawn in another process, while the next layer runs. A layer that fails leaves the
    others alone.

    Raises:
        EmoexpError: some layer failed; it names them.
    """
    from emoexp.study.study import Study

    with FigureProcess() as figures:
        hold_code()
        if not isinstance(config.layer, list):
            run_once(config, name, directory, partial(Study, config), figures)
            return
        first = Study(replace(config, layer=config.layer[0]))
        failed: dict[str, list[str]] = {}
        for layer in config.layer:
            place = directory / runs.layer_folder(layer)
            one = replace(config, layer=layer, run_dir=str(place))
            try:
                make = partial(Study, one, first)
                run_once(one, name, place, make, figures, directory.parent)
            except EmoexpError as error:
                failed.setdefault(one_line(error), []).append(str(layer))
    if failed:
        n = sum(map(len, failed.values()))
        told = (f"layer {', '.join(layers)}: {reason}" for reason, layers in failed.items())
        rest = ", the others are done" if n < len(config.layer) else ""
        raise EmoexpError(f"{n} of {len(config.layer)} layers failed{rest}: {'; '.join(told)}")
