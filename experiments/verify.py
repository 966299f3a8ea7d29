"""V1 to V11: every validation on one model, at one layer, in one table."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar

from emoexp.errors import NotApplicableError
from emoexp.study.experiment import Experiment
from emoexp.study.result import Result
from emoexp.study.study import Study

from .correlation import Correlation
from .implicit import Implicit
from .logit_lens import LogitLens
from .numeric import Numeric
from .preference import Preference
from .steering import SteeredPreference


@dataclass(kw_only=True)
class Verify(Experiment):
    """The validations with their own hyperparameters, as in `experiment.steering.strength=0.3`.

    Attributes:
        steering: null leaves V10 and V11 out, which take most of the time.
    """

    reads: ClassVar[tuple[str, ...]] = ("stories", "vectors", "emotions.norms", "span")

    logit_lens: LogitLens = field(default_factory=LogitLens)
    implicit: Implicit = field(default_factory=Implicit)
    numeric: Numeric = field(default_factory=Numeric)
    preference: Preference = field(default_factory=Preference)
    correlation: Correlation = field(default_factory=Correlation)
    steering: SteeredPreference | None = field(default_factory=SteeredPreference)

    def check(self, study: Study) -> None:
        super().check(study)
        if self.steering:
            self.steering.check(study)

    def named_layers(self) -> list[int]:
        return self.steering.named_layers() if self.steering else []

    def run(self, study: Study) -> Result:
        """Runs each validation; one that is not applicable is noted, and the others go on.

        Any other error carries what was found before it as its attribute `partial`.
        """
        result = Result()
        parts: list[Experiment | None] = [getattr(self, part.name) for part in fields(self)]
        for part in filter(None, parts):
            try:
                result.merge(part.run(study))
            except NotApplicableError as reason:
                result.merge(getattr(reason, "partial", Result()))
                result.notes.append(f"not measured: {reason}")
            except Exception as error:
                result.merge(getattr(error, "partial", Result()))
                error.partial = result  # type: ignore[attr-defined]
                raise
        return result
