"""One file per validation. To add one: write its file, name it here, add its conf/experiment."""

from emoexp.study.experiment import Experiment

from .blackmail import Blackmail
from .corpus import TextProjection
from .correlation import Correlation
from .drift import Drift
from .geometry import Geometry
from .implicit import Implicit
from .logit_lens import LogitLens
from .numeric import Numeric
from .preference import Preference
from .reliability import Reliability
from .self_report import SelfReport
from .steering import SteeredPreference
from .steering_map import SteeringMap
from .stories import Stories
from .train_organism import TrainOrganism
from .verify import Verify

EXPERIMENTS: dict[str, type[Experiment]] = {
    "logit_lens": LogitLens,
    "implicit": Implicit,
    "numeric": Numeric,
    "preference": Preference,
    "correlation": Correlation,
    "steering": SteeredPreference,
    "steering_map": SteeringMap,
    "reliability": Reliability,
    "geometry": Geometry,
    "self_report": SelfReport,
    "drift": Drift,
    "blackmail": Blackmail,
    "corpus": TextProjection,
    "stories": Stories,
    "verify": Verify,
    "train_organism": TrainOrganism,
}
