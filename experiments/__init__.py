"""One file per validation. To add one: write its file, name it here, add
conf/experiment/<name>.yaml."""

from emoexp.experiments.blackmail import Blackmail
from emoexp.experiments.correlation import Correlation
from emoexp.experiments.drift import Drift
from emoexp.experiments.implicit import Implicit
from emoexp.experiments.logit_lens import LogitLens
from emoexp.experiments.numeric import Numeric
from emoexp.experiments.preference import Preference
from emoexp.experiments.reliability import Reliability
from emoexp.experiments.self_report import SelfReport
from emoexp.experiments.steering import Steering
from emoexp.experiments.steering_map import SteeringMap
from emoexp.experiments.stories import Stories
from emoexp.experiments.train_organism import TrainOrganism
from emoexp.experiments.verify import Verify

from emoexp.study.study import Experiment

EXPERIMENTS: dict[str, type[Experiment]] = {
    "logit_lens": LogitLens,
    "implicit": Implicit,
    "numeric": Numeric,
    "preference": Preference,
    "correlation": Correlation,
    "steering": Steering,
    "steering_map": SteeringMap,
    "reliability": Reliability,
    "self_report": SelfReport,
    "drift": Drift,
    "blackmail": Blackmail,
    "stories": Stories,
    "verify": Verify,
    "train_organism": TrainOrganism,
}
