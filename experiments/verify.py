"""V1 to V11: every validation on one model, at one layer, in one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from emoexp.experiments.correlation import Correlation
from emoexp.experiments.implicit import Implicit
from emoexp.experiments.logit_lens import LogitLens
from emoexp.experiments.numeric import Numeric
from emoexp.experiments.preference import Preference
from emoexp.experiments.steering import Steering

from emoexp.study.result import OTHER_SETTINGS, Result
from emoexp.study.study import Experiment, NotApplicableError, Study


@dataclass(kw_only=True)
class Verify(Experiment):
    """The validations with their own hyperparameters, as in `experiment.steering.strength=0.3`."""

    logit_lens: LogitLens = field(default_factory=LogitLens)
    implicit: Implicit = field(default_factory=Implicit)
    numeric: Numeric = field(default_factory=Numeric)
    preference: Preference = field(default_factory=Preference)
    correlation: Correlation = field(default_factory=Correlation)
    steering: Steering = field(default_factory=Steering)
    shown: ClassVar[tuple[str, ...]] = (
        OTHER_SETTINGS,
        "steering_rows",
        "agreement_elo",
        "agreement_implicit",
        "agreement_numeric",
        "agreement_correlations",
        "agreement_steering",
    )

    def run(self, study: Study) -> Result:
        result = Result()
        for part in (
            self.logit_lens,
            self.implicit,
            self.numeric,
            self.preference,
            self.correlation,
            self.steering,
        ):
            try:
                result.merge(part.run(study))
            except NotApplicableError as reason:
                result.notes.append(f"not measured: {reason}")
            except Exception as error:  # out of memory, say
                # what the other validations found is not lost
                error.partial = result  # type: ignore[attr-defined]
                raise
        return result
