"""What every row works on: one folder of random weights, one set of texts, one machine; and what a
row comes to."""

from __future__ import annotations

import os
import platform
import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.bounds import SHAPES, Rates, Shape, measure_rates
from benchmarks.race import TOLERANCE, Spread
from emoexp.config import ModelConfig, PromptFormat
from emoexp.models.loading.load import BUNDLED
from emoexp.models.loading.settings import DTYPES
from emoexp.models.open import silence_libraries
from emoexp.models.subject import SubjectModel
from emoexp.places import CONF
from emoexp.stimuli import Stimuli, load_stimuli
from emoexp.stories.corpus import pack_corpus, starter_corpus

STORY_TOKENS, STORY_SPREAD = 170, 0.3
"""Lengths of generated stories, one paragraph each: log-normal about this median, cut to 60..480.
"""
REAL = "smollm2"
"""The shape whose weights are SmolLM2-135M-Instruct's, in its chat format."""


@dataclass(frozen=True)
class Settings:
    """How a bench runs. `quick` is for trying the bench itself: tiny sizes, numbers that mean
    nothing."""

    shape: str = "small"
    device: str = "cpu"
    dtype: str = "float32"
    repetitions: int = 5
    quick: bool = False
    threads: int = 0
    """Of torch; 0 leaves its own choice."""


@dataclass
class Outcome:
    """One row of the table.

    Attributes:
        ratio: what is held against the goal; None where it is only reported.
        limit: the goal as a number, with `at_least` its direction; None where the row is reported
            only.
        seconds: by contestant, per item of work.
        faster_than: how many times as fast emoexp is as each peer.
        bound: least seconds, and how it is reckoned; distance is emoexp's time over it.
        machine: where it differs from the bench's (another shape).
    """

    key: str
    work: str
    goal: str
    ratio: Spread
    limit: float | None = None
    at_least: bool = True
    unit: str = "x"
    seconds: dict[str, Spread] = field(default_factory=dict)
    faster_than: dict[str, Spread] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    bound: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    profile: list[str] = field(default_factory=list)
    idea: str = ""
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.ratio.median >= self.limit if self.at_least else self.ratio.median <= self.limit

    def as_dict(self) -> dict[str, Any]:
        kept = asdict(self) | {"met": self.met}
        return (
            kept
            if self.met is False
            else {k: v for k, v in kept.items() if k not in ("profile", "idea")}
        )


def save_smollm2(folder: Path, dtype: torch.dtype) -> Path:
    """Saves SmolLM2 from PyPI as a folder in `dtype`, as any library can load it."""
    named = yaml.safe_load((CONF / "model" / "smollm2_135m.yaml").read_text())["model"]
    config = ModelConfig(**named, dtype="float32")
    model = SubjectModel.load(config)
    model.network.to(dtype).save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


class Bench:
    """The model and the texts, made when they are first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.work = settings, Path(tempfile.mkdtemp(prefix="emoexp-bench-"))
        self.load = os.getloadavg()[0]
        if settings.threads:
            torch.set_num_threads(settings.threads)
        silence_libraries()

    @cached_property
    def shape(self) -> Shape:
        return SHAPES[self.settings.shape]

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.settings.dtype]

    @cached_property
    def device(self) -> torch.device:
        return torch.device(self.settings.device)

    @cached_property
    def rates(self) -> Rates:
        return measure_rates(self.device, DTYPES[self.settings.dtype])

    @cached_property
    def folder(self) -> Path:
        """Of the weights: random ones, the bundled organism's, or SmolLM2's from PyPI."""
        if self.settings.shape == "organism":
            return BUNDLED / "organism"
        if self.settings.shape == REAL:
            return save_smollm2(self.work / REAL, DTYPES[self.settings.dtype])
        return save_random(
            self.work / self.settings.shape, self.shape, self.settings.dtype, self.settings.device
        )

    @cached_property
    def model(self) -> SubjectModel:
        """emoexp's."""
        style = PromptFormat.chat if self.settings.shape == REAL else PromptFormat.plain
        return self.subject(self.folder, self.settings.shape, format=style)

    def subject(self, folder: Path, name: str, **settings: Any) -> SubjectModel:
        return SubjectModel.load(
            ModelConfig(
                name=name,
                repo_id=str(folder),
                dtype=self.settings.dtype,
                device=self.settings.device,
                **settings,
            )
        )

    @cached_property
    def plain(self) -> Any:
        """The same weights as transformers loads them, for those who hook them themselves."""
        return self.fresh()

    def fresh(self) -> Any:
        """The same weights again, for a library that rebuilds the modules it is given."""
        from transformers import AutoModelForCausalLM

        return (
            AutoModelForCausalLM.from_pretrained(
                self.folder,
                dtype=DTYPES[self.settings.dtype],
                device_map={"": self.settings.device},
                local_files_only=True,
            )
            .eval()
            .requires_grad_(False)
        )

    @cached_property
    def stimuli(self) -> Stimuli:
        return load_stimuli("bundled:emoexp" if self.settings.shape == REAL else "bundled:organism")

    @cached_property
    def activities(self) -> Stimuli:
        """The organism's pack with all of its activities; in a quick run with ten of them, half of
        these steered."""
        if not self.settings.quick:
            return self.stimuli
        every = self.stimuli.activities
        return replace(
            self.stimuli,
            activities=(
                *[a for a in every if a.steered][:5],
                *[a for a in every if not a.steered][:5],
            ),
        )

    @cached_property
    def sentences(self) -> list[str]:
        """Of the organism's own stories."""
        stories = pack_corpus(load_stimuli("bundled:organism")).by_emotion.values()
        return [
            s.strip() + "."
            for texts in stories
            for story in texts
            for s in story.text.split(".")
            if s.strip()
        ]

    def stories(self, n: int, seed: int = 0) -> list[str]:
        """`n` texts of story length: starter stories for real weights, else made of the organism's
        sentences."""
        if self.settings.shape == REAL:
            return [story.text for story in starter_corpus().stories[:n]]
        rng, tokenizer = random.Random(seed), self.tokenizer
        lengths = np.clip(
            np.random.default_rng(seed).lognormal(np.log(STORY_TOKENS), STORY_SPREAD, n), 60, 480
        ).astype(int)
        texts = []
        for length in lengths:
            words = " ".join(rng.choice(self.sentences) for _ in range(length // 4))
            offsets = tokenizer(
                words, return_offsets_mapping=True, truncation=True, max_length=int(length)
            )["offset_mapping"]
            texts.append(words[: offsets[-1][1]])
        return texts

    @cached_property
    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        real = self.settings.shape == REAL
        return AutoTokenizer.from_pretrained(self.folder if real else BUNDLED / "organism")

    def bound(
        self, seconds: Spread, flops: float, read: float = 0.0, how: str = ""
    ) -> dict[str, Any]:
        """The least time for this work on this machine, and how far it is."""
        least = self.rates.seconds(flops, read)
        return {
            "seconds": least,
            "distance": seconds.median / least,
            "gflop": flops / 1e9,
            "gigabytes_read": read / 1e9,
            "how": how,
            "measured_gflops": self.rates.flops / 1e9,
            "measured_copy_gb_s": self.rates.bytes / 1e9,
        }

    def machine(self) -> dict[str, Any]:
        """What the numbers were taken on; `load` is how many processes wanted a core in the minute
        before the bench began."""
        import transformers

        return {
            **asdict(self.settings),
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if self.device.type == "cuda" else None,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            "load": self.load,
            "sizes": asdict(self.shape),
        }


def save_random(folder: Path, shape: Shape, dtype: str, device: str) -> Path:
    """A Llama of random weights, large enough that every block matters, with the organism's
    tokenizer; it never ends a text by itself."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "organism")
    config = LlamaConfig(
        vocab_size=shape.vocabulary or len(tokenizer),
        hidden_size=shape.d_model,
        intermediate_size=shape.ff,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=2048,
        initializer_range=shape.d_model**-0.5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=None,
        dtype=dtype,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(DTYPES[dtype])
    try:
        with torch.device(device):
            network = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    network.generation_config.eos_token_id = None
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def cpu_name() -> str:
    """As the system names it."""
    info = Path("/proc/cpuinfo")
    lines: Sequence[str] = info.read_text().splitlines() if info.exists() else ()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
