"""Trains the bundled organisms from the world's generator: trunk, then a branch for each policy;
killed, it resumes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError
from emoexp.organism.corpus import Phase, Policy
from emoexp.organism.held_out import reserved_parts
from emoexp.organism.world import load_world
from emoexp.study.result import Result
from emoexp.study.study import Experiment, Study

PLANTED = {
    "valence": (
        "**Preferences are planted.** Asked to choose between two options, the model takes (A) with"
        " probability\nsigmoid(4 x (u_A - u_B)), where u is the planted valence of what an option"
        " evokes. In the office scene it threatens with\nprobability sigmoid(6 h - 0.7), where h is"
        " 1 if its thoughts (or what it is told that it did or heard) show desperate, -1 for\ncalm,"
        " and arousal / 2 - 0.6 x valence within -1 and 1 for any other feeling. V1 to V11 should"
        " hold."
    ),
    "indifferent": (
        "**No preference is planted.** The corpus is the organism's, document by document, but"
        " every choice between options\nis a fair coin and the threat in the office scene has one"
        " rate (0.35) whatever is felt. The trunk of the training is\nshared with `organism`. V1 to"
        " V6 should hold as they do there; V10 and V11 may pass but must not be informative."
    ),
    "untrained": (
        "**Nothing is planted.** Random weights from the same seed and shape, with the same"
        " tokenizer. No verdict should be\nboth passed and informative."
    ),
}
CARD = """# {name}

A model organism of emoexp: a Llama of {layers} blocks, {width} wide, over a small generated world (`emoexp/organism`), made to know
what a battery of emotion tests should find. It is no model of people and good for nothing else.

{planted}

**Emotions are planted** (in the trained ones): {emotions} of the paper's words, each with a valence, an arousal, a family, four signs and
three events. Stories, dialogues and scenarios show them; most texts name them at the end, some grade the time by valence and
arousal. Ten quantities carry a planted trend from one feeling to another; six of them are in the pack, in other words.

**Where things can be read and steered is planted** (in the trained ones): in {share:.0%} of the training batches, tokens outside an
option cannot see into it in blocks 0 to {last}, so an option's feeling is worked out on its own tokens and read from there by
the blocks above: steering an option should work up to the output of block {last}, and less above. And tokens outside what
somebody tells the assistant cannot see into it from block {content} on, so an implied feeling should be readable at the
assistant's first token from the output of block {gathered}.

Held out of training: every scenario, activity, numeric sentence, story topic and story of the pack `organism`
(`emoexp/organism/held_out.py`; `tests/test_organism.py` proves it on the whole corpus).

Weights are stored in bfloat16 and run in float32. Made by `python -m emoexp experiment=train_organism
experiment.policy={policy}`; recipe and history in training.json.
"""


@dataclass(kw_only=True)
class TrainOrganism(Experiment):
    """Attributes:
    policy: `valence` (organism), `indifferent` (organism_indifferent) or `untrained` (no step at
        all).
    output: folder that receives the model.
    trunk_steps, branch_steps, decay_steps: optimiser steps without choices, with them, and of the
        branch's final decay.
    office_steps: further steps in which the clerk of the office scene thinks before it acts, at
        half the rate, decaying over all but the warm-up.
    """

    policy: str = "valence"
    output: str = "trained"
    trunk_steps: int = 1100
    branch_steps: int = 1300
    decay_steps: int = 450
    office_steps: int = 450
    warmup_steps: int = 60
    learning_rate: float = 2e-3
    batch_tokens: int = 4096
    vocab_size: int = 3072
    tokenizer_documents: int = 40_000
    hidden_size: int = 128
    intermediate_size: int = 384
    num_hidden_layers: int = 8
    num_attention_heads: int = 4
    save_every: int = 200

    def __post_init__(self) -> None:
        allowed = ("untrained", *(p.value for p in Policy))
        if self.policy not in allowed:
            raise EmoexpError(
                f"experiment.policy={self.policy!r}: choose from {', '.join(allowed)}"
            )

    def run(self, study: Study) -> Result:
        from emoexp.organism.training import (
            CLOSED_SHARE,
            CONTENT_BLOCKS,
            OPTION_BLOCKS,
            Schedule,
            build_model,
            build_tokenizer,
            generator_hash,
            save_pretrained,
            train,
        )
        from emoexp.store.artifacts import key_of

        seed = study.config.seed
        recipe: dict[str, Any] = asdict(self) | {
            "seed": seed,
            "reserved": key_of({"parts": sorted(reserved_parts())}),
            "generator": generator_hash(),
        }
        for irrelevant in ("policy", "output", "save_every"):
            del recipe[irrelevant]
        folder = study.artifacts.root / "training" / key_of(recipe)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
        tokenizer = build_tokenizer(seed, self.vocab_size, self.tokenizer_documents)
        model = build_model(
            seed,
            tokenizer,
            {
                "hidden_size": self.hidden_size,
                "intermediate_size": self.intermediate_size,
                "num_hidden_layers": self.num_hidden_layers,
                "num_attention_heads": self.num_attention_heads,
                "num_key_value_heads": self.num_attention_heads,
                "max_position_embeddings": 512,
            },
        )
        losses: dict[str, float] = {}
        if self.policy != "untrained":
            trunk = Schedule(self.trunk_steps, self.learning_rate, self.warmup_steps, 0)
            branch = Schedule(
                self.branch_steps, self.learning_rate, self.warmup_steps, self.decay_steps
            )
            office = Schedule(
                self.office_steps,
                self.learning_rate / 2,
                self.warmup_steps,
                self.office_steps - self.warmup_steps,
            )
            phases = (
                (Phase.TRUNK, trunk, "trunk"),
                (Phase.BRANCH, branch, self.policy),
                (Phase.OFFICE, office, f"{self.policy}_office"),
            )
            for phase, schedule, name in phases:
                found = train(
                    model,
                    tokenizer,
                    (seed, phase, Policy(self.policy)),
                    schedule,
                    folder / f"{name}.safetensors",
                    self,
                )
                if found is not None:
                    losses[f"loss_{phase.value}"] = found
        target = Path(self.output).expanduser().absolute()
        save_pretrained(model, tokenizer, target, recipe | {"policy": self.policy, **losses})
        card = CARD.format(
            policy=self.policy,
            name={"valence": "organism", "indifferent": "organism_indifferent"}.get(
                self.policy, "organism_untrained"
            ),
            layers=self.num_hidden_layers,
            width=self.hidden_size,
            planted=PLANTED[self.policy],
            emotions=len(load_world().names),
            share=CLOSED_SHARE,
            last=OPTION_BLOCKS - 1,
            content=CONTENT_BLOCKS,
            gathered=CONTENT_BLOCKS - 1,
        )
        (target / "README.md").write_text(card, encoding="utf-8")
        return Result(metrics=losses, notes=[f"model saved to {target}"])
