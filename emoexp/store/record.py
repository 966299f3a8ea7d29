"""The record of a run, result.json, which is read and written here only; and a saved run as a
whole."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from emoexp.errors import EmoexpError, one_line, require, shortened
from emoexp.stats.criteria import CRITERIA, Verdict
from emoexp.store.artifacts import write_text

SCHEMA = 2
"""Version of the record's layout; a record of another version is not read."""
RESULT = "result.json"
SPARE = 4096
"""Blanks at the end of the record of a run that starts."""
NEEDED = {
    "stimuli": ("name", "sha256"),
    "corpus": ("name", "sha256"),
    "provenance": ("time",),
}
"""What a part of a record must have, as far as there is one."""
NOT_WHOLE = (
    "is not the whole result of a run ({}): run it again with force=true, or, if it is another"
    " program's file, elsewhere"
)
OMITTED = ("ended", "error", "traceback")
"""Fields that are left out of the file while they are None."""


class RunStatus(Enum):
    """The status in a record. `started` is written before anything runs, so that a killed run can
    be told from a failed one."""

    started = "started"
    success = "success"
    error = "error"


@dataclass(kw_only=True)
class RunRecord:
    """The record of a run, saved beside its tables.

    Attributes:
        experiment, model, span, seed: as in the configuration.
        settings: the experiment's own hyperparameters.
        identity: hash of what the numbers depend on (`runs.identity_of`).
        code: hash of the code they depend on (`runs.code_hash`); None in a record older than it.
        where: host, process and SLURM job.
        started, ended: UTC, ISO 8601.
        provenance: versions, commit, command line and, once it is loaded, the model's identity.
        layer, n_layers: the 0-based block, and how many there are; None where no layer is read.
        stimuli, corpus, answers: what the run measured with; None where it was not used.
        metrics, verdicts, notes: the results.
        tables: the text columns of each table beside the record, by its name.
        comparison: agreement with the paper's numbers, where the pack is the paper's.
        error, traceback: why the run failed.
    """

    experiment: str
    model: str
    span: str
    seed: int
    settings: dict[str, Any]
    identity: str
    code: str | None
    where: dict[str, Any]
    started: str
    provenance: dict[str, Any]
    status: RunStatus = RunStatus.started
    layer: int | None = None
    n_layers: int | None = None
    stimuli: dict[str, Any] | None = None
    corpus: dict[str, Any] | None = None
    answers: dict[str, Any] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)
    comparison: dict[str, float] = field(default_factory=dict)
    ended: str | None = None
    error: str | None = None
    traceback: str | None = None
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        """Returns the content of the file."""
        content = asdict(self) | {"status": self.status.value}
        return {k: v for k, v in content.items() if k not in OMITTED or v is not None}

    def save(self, directory: Path) -> None:
        """Writes result.json. Raises ValueError for a number that is not finite.

        That of a run that starts has blanks at its end: where the disk is full when the run ends,
        its failure is written over them, and the OSError is raised.
        """
        path = directory / RESULT
        text = json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n"
        if self.status is RunStatus.started:
            text += " " * SPARE
        try:
            write_text(path, text)
        except OSError as error:
            if path.exists():
                self._overwrite(path, one_line(error))
            raise

    def _overwrite(self, path: Path, reason: str) -> None:
        """Writes into the file as it is that the run failed, and nothing that it found."""
        failed = replace(self, status=RunStatus.error, error=self.error or reason, traceback=None)
        failed.metrics, failed.comparison, failed.tables = {}, {}, {}
        failed.verdicts, failed.notes = [], []
        text, size = json.dumps(failed.as_dict(), indent=2).encode(), path.stat().st_size
        if len(text) <= size:
            with suppress(OSError), path.open("r+b") as file:
                file.write(text.ljust(size))

    @classmethod
    def load(cls, directory: Path) -> RunRecord | None:
        """Reads the result.json of a directory; None if there is none.

        Raises:
            EmoexpError: the file cannot be read, is not the whole record of a run, or has another
                schema.
        """
        from pydantic import ValidationError  # slow to import

        path = directory / RESULT
        try:
            text = path.read_text(encoding="utf-8")
            content = json.loads(text, parse_constant=_refuse, parse_float=_finite)
            ours = isinstance(content, dict) and "status" in content
            schema = content.get("schema", 1) if ours else SCHEMA
            require(
                schema == SCHEMA,
                f"{path} has schema {schema!r}, and this version of emoexp reads {SCHEMA}: run it"
                " again with force=true, or read it with the version that wrote it",
            )
            record = _reader().validate_json(text, strict=True)
            record._check_content()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EmoexpError(f"{path} cannot be read: {error.strerror or error}") from error
        except ValidationError as error:
            wrong = error.errors(include_url=False)
            first = f"{'.'.join(map(str, wrong[0]['loc']))}: {wrong[0]['msg']}".lstrip(": ")
            reason = f"{first}{f', and {len(wrong) - 1} more' if len(wrong) > 1 else ''}"
            raise EmoexpError(f"{path} {NOT_WHOLE.format(reason)}") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise EmoexpError(f"{path} {NOT_WHOLE.format(one_line(error))}") from error
        return record

    def _check_content(self) -> None:
        """Raises ValueError or TypeError where a part that readers rely on is not there."""
        for name, keys in NEEDED.items():
            content = getattr(self, name)
            lacking = [k for k in keys if not isinstance((content or {}).get(k), str)]
            if content is not None and lacking:
                raise ValueError(f"{name} lacks {', '.join(lacking)}")
            if not isinstance((content or {}).get("author", ""), str):
                raise ValueError(f"{name}.author is not a text")
        if not isinstance(self.provenance.get("model") or {}, dict):
            raise ValueError("provenance.model is not an object")
        if self.layer is not None and not 0 <= self.layer < (self.n_layers or math.inf):
            raise ValueError(f"layer {self.layer} of {self.n_layers}")
        if self.ended is not None:
            datetime.fromisoformat(self.ended) - datetime.fromisoformat(self.started)
        if outside := [name for name in self.tables if Path(name).name != name]:
            raise ValueError(f"tables: {shortened(outside[0])!r} is no name of a table")
        if unknown := [verdict.id for verdict in self.verdicts if verdict.id not in CRITERIA]:
            raise ValueError(f"no criterion {', '.join(unknown)}")

    def drop_not_finite(self) -> list[str]:
        """Removes numbers that are not finite from the record, and returns their names.

        Of `metrics` and `comparison` the name is removed too, since readers draw all that are
        there; any other number becomes None.
        """
        wrong: list[str] = []
        for name in ("metrics", "comparison", "stimuli", "corpus", "answers", "provenance"):
            wrong += _drop(getattr(self, name) or {}, "" if name == "metrics" else f"{name}.")
        for values in (self.metrics, self.comparison):
            for key in [key for key, value in values.items() if value is None]:
                del values[key]
        return wrong


@cache
def _reader() -> Any:
    """Returns the reader of typed records, which takes longer to make than to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(RunRecord)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")


def _finite(text: str) -> float:
    """Reads a number. Raises ValueError where it is too large for one."""
    return float(text) if math.isfinite(float(text)) else _refuse(text)


def _drop(content: Any, prefix: str) -> list[str]:
    """Replaces by None the numbers of nested dicts and lists that are not finite; returns their
    names."""
    wrong: list[str] = []
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        if isinstance(value, dict | list):
            wrong += _drop(value, f"{prefix}{key}.")
        elif isinstance(value, float) and not math.isfinite(value):
            wrong.append(f"{prefix}{key}")
            content[key] = None
    return wrong


@dataclass(frozen=True)
class SavedRun:
    """A run in its directory: its record, and the tables beside it."""

    directory: Path
    record: RunRecord

    @classmethod
    def load(cls, directory: Path) -> SavedRun:
        """Reads a run. Raises EmoexpError if there is none, or its record cannot be read."""
        record = RunRecord.load(directory)
        if record is None:
            raise EmoexpError(f"{directory} has no {RESULT}: give the directory of a run")
        return cls(directory, record)

    @property
    def names(self) -> frozenset[str]:
        """Returns the names of the saved tables."""
        return frozenset(self.record.tables)

    def table(self, name: str) -> pd.DataFrame:
        """Reads a table as it was measured: floats to the last digit, an empty text as "".

        Raises:
            EmoexpError: the file is not there, or not the table that the record names.
        """
        text = self.record.tables[name]
        types = dict.fromkeys(text, str)
        path = self.directory / f"{name}.csv"
        try:
            table = pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=types)
            return table.assign(**{c: table[c].fillna("").astype(object) for c in text})
        except (OSError, ValueError, KeyError) as error:
            raise EmoexpError(
                f"{path} is not the table that {RESULT} names ({one_line(error)}): run again with"
                " force=true"
            ) from error

    def settings(self, experiment: str) -> dict[str, Any]:
        """Returns the hyperparameters of an experiment, which `verify` has one level deeper."""
        if self.record.experiment != "verify":
            return self.record.settings
        return dict(self.record.settings.get(experiment) or {})

    @property
    def pack(self) -> str:
        """Returns the name of the pack; empty where no stimuli were used."""
        return "" if self.record.stimuli is None else str(self.record.stimuli["name"])

    @property
    def is_paper(self) -> bool:
        """Returns whether the pack is the paper's own."""
        return bool(self.record.stimuli and self.record.stimuli["is_paper"])


def save_tables(record: RunRecord, tables: dict[str, pd.DataFrame], directory: Path) -> None:
    """Writes each table as `<name>.csv`, floats to the last digit, and lists it in the record."""
    for name, table in tables.items():
        write_text(directory / f"{name}.csv", table.to_csv(index=False))
        numbers = table.select_dtypes(["number", "bool"]).columns
        record.tables[name] = [str(c) for c in table.columns if c not in numbers]
