"""What an experiment is: a dataclass whose fields are its hyperparameters.

A validation has two steps. `measure` runs the model and returns facts: tables of numbers. `judge`
is a pure function of those tables: statistics, intervals, nulls, verdicts. Figures, terminal
tables and the comparison with published numbers are views of a saved run (`emoexp.report`,
`emoexp.figures`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from emoexp.bounds import Bounded
from emoexp.config import Config, SpanConfig
from emoexp.errors import require
from emoexp.study.result import Result

if TYPE_CHECKING:
    from emoexp.study.study import Study

Tables = Mapping[str, pd.DataFrame]
"""Facts by name; a run saves each as `<name>.csv`."""


@dataclass(frozen=True)
class Bootstrap:
    """How many resamples and permutations a judgement draws, and from which seed.

    Attributes:
        draws: bootstrap resamples of an interval.
        permutations: draws of a permutation null.
        seed: of both.
    """

    draws: int = 2000
    permutations: int = 1000
    seed: int = 0

    @classmethod
    def of(cls, config: Config) -> Bootstrap:
        """Reads `scale.bootstrap_draws`, `scale.permutations` and `seed`."""
        return cls(config.scale.bootstrap_draws, config.scale.permutations, config.seed)

    def rng(self) -> np.random.Generator:
        """Returns a new generator from the seed."""
        return np.random.default_rng(self.seed)


@dataclass(kw_only=True)
class Experiment(Bounded, ABC):
    """One file of experiments/: its fields are its hyperparameters and its Hydra schema."""

    reads: ClassVar[tuple[str, ...]] = ("stories", "vectors")
    """What is read of "stories" (and `emotions`), "vectors", "emotions.norms" and "span"."""

    def check(self, study: Study) -> None:
        """Reads what the user gave, all of it that needs no model, before one is loaded.

        Raises:
            EmoexpError: a setting that the experiment does not read, or one that is wrong.
        """
        config = study.config
        given = {
            "vectors": config.vectors is not None,
            "emotions.norms": config.emotions.norms is not None,
            "span": config.span.kind is not SpanConfig().kind,
        }
        unread = [name for name, is_given in given.items() if is_given and name not in self.reads]
        one = f"{' and '.join(unread)}: this experiment does not read it: leave it out"
        require(not unread, one)
        if "stories" in self.reads:
            study.read_inputs()

    def named_layers(self) -> list[int]:
        """Returns the layers that its settings name."""
        return [*(getattr(self, "layers", None) or []), *(getattr(self, "band", None) or [])]

    @abstractmethod
    def run(self, study: Study) -> Result:
        """Runs the experiment and returns what it found."""


@dataclass(kw_only=True)
class Validation(Experiment):
    """An experiment that measures, then judges."""

    @abstractmethod
    def measure(self, study: Study) -> Tables:
        """Runs the model and returns the facts.

        Raises:
            NotApplicableError: the measurement is not defined for this model or pack.
        """

    @abstractmethod
    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        """Computes statistics and verdicts from the tables of `measure` and from nothing else."""

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        """Returns notes that need more than the tables, such as the span or the model's name."""
        return ()

    def run(self, study: Study) -> Result:
        """Measures, judges, and returns the facts beside the judgement.

        An error raised by `judge` carries the facts as its attribute `partial`.
        """
        tables = self.measure(study)
        try:
            result = self.judge(tables, Bootstrap.of(study.config))
        except Exception as error:
            error.partial = Result(tables=dict(tables))  # type: ignore[attr-defined]
            raise
        result.tables = {**tables, **result.tables}
        result.notes += self.remarks(study, result)
        if study.used("shuffled") and study.shuffled is None:
            result.notes.append("not measured: shuffled labels, since vectors= holds no stories")
        return result


def values_of(table: pd.DataFrame, columns: Sequence[str] | None = None) -> np.ndarray:
    """Returns the numbers of a table, of all columns or of those named; (row, column), float64.

    The array is laid out row by row, so that sums do not depend on how pandas stores the table.
    """
    part = table if columns is None else table[list(columns)]
    return np.ascontiguousarray(part.to_numpy(dtype=np.float64))
