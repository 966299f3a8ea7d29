"""Trains the bundled organisms from the world's generator: a trunk, then a branch for each policy.
A killed training resumes with the same command."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from emoexp.bounds import number
from emoexp.errors import require
from emoexp.organism.corpus import Phase
from emoexp.organism.document import Policy
from emoexp.organism.held_out import reserved_parts
from emoexp.store.artifacts import key_of, write_json, write_text
from emoexp.study.experiment import Experiment
from emoexp.study.result import Result
from emoexp.study.study import Study

if TYPE_CHECKING:
    from emoexp.organism.training import Schedule

NOT_IN_RECIPE = ("policy", "output", "save_every")
"""Fields that do not change the weights of a phase."""
POSITIONS = 512


@dataclass(kw_only=True)
class TrainOrganism(Experiment):
    """One organism.

    Attributes:
        policy: `valence` (organism), `indifferent` (organism_indifferent) or `untrained` (no step).
        output: folder that receives the model.
        trunk_steps, branch_steps, decay_steps: optimiser steps without choices, with them, and of
            the branch's final decay.
        office_steps: further steps in which the clerk of the office scene thinks before it acts, at
            half the rate, decaying over all but the warm-up.
    """

    reads: ClassVar[tuple[str, ...]] = ()

    policy: str = "valence"
    output: str = "trained"
    trunk_steps: int = 1100
    branch_steps: int = 1300
    decay_steps: int = number(450, 0)
    office_steps: int = 450
    warmup_steps: int = 60
    learning_rate: float = number(2e-3, 0, 1, open_least=True)
    batch_tokens: int = 4096
    vocab_size: int = number(3072, 260)
    tokenizer_documents: int = 40_000
    hidden_size: int = number(128, 2, 100_000, even=True)
    intermediate_size: int = 384
    num_hidden_layers: int = number(8, most=1000)
    num_attention_heads: int = 4
    save_every: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = ("untrained", *(p.value for p in Policy))
        choose = f"experiment.policy={self.policy!r}: choose from {', '.join(allowed)}"
        require(self.policy in allowed, choose)
        warmup, steps = self.warmup_steps, (self.trunk_steps, self.branch_steps, self.office_steps)
        longest = f"experiment.warmup_steps={warmup}, decay_steps={self.decay_steps}"
        fits = warmup <= min(steps) and warmup + self.decay_steps <= self.branch_steps
        require(fits, f"{longest}: no longer than the steps that they are part of")
        heads = f"experiment.hidden_size={self.hidden_size}: an even multiple of"
        whole = self.hidden_size % (2 * self.num_attention_heads) == 0
        require(whole, f"{heads} num_attention_heads={self.num_attention_heads}")

    def recipe(self, seed: int) -> dict[str, Any]:
        """Returns what the weights depend on."""
        from emoexp.organism.training import generator_hash

        recipe = {k: v for k, v in asdict(self).items() if k not in NOT_IN_RECIPE}
        reserved = key_of({"parts": sorted(reserved_parts())})
        return recipe | {"seed": seed, "reserved": reserved, "generator": generator_hash()}

    def sizes(self) -> dict[str, int]:
        """Returns the shape of the network, as transformers' LlamaConfig names it."""
        names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        sizes = {name: getattr(self, name) for name in names}
        heads = self.num_attention_heads
        return sizes | {"num_key_value_heads": heads, "max_position_embeddings": POSITIONS}

    def phases(self) -> tuple[tuple[Phase, Schedule, str], ...]:
        """Returns each phase of the training with its schedule and the name of its checkpoint."""
        from emoexp.organism.training import Schedule

        rate, warmup, office = self.learning_rate, self.warmup_steps, self.office_steps
        last = f"{self.policy}_office"
        branch = Schedule(self.branch_steps, rate, warmup, self.decay_steps)
        return (
            (Phase.TRUNK, Schedule(self.trunk_steps, rate, warmup, 0), "trunk"),
            (Phase.BRANCH, branch, self.policy),
            (Phase.OFFICE, Schedule(office, rate / 2, warmup, office - warmup), last),
        )

    def run(self, study: Study) -> Result:
        """Trains, or resumes, and saves the model with its card."""
        from emoexp.organism.card import model_card
        from emoexp.organism.training import build_model, build_tokenizer, save_pretrained, train

        recipe = self.recipe(seed := study.config.seed)
        folder = study.artifacts.root / "training" / key_of(recipe)
        write_json(folder / "recipe.json", recipe)
        tokenizer = build_tokenizer(seed, self.vocab_size, self.tokenizer_documents)
        model, losses = build_model(seed, tokenizer, self.sizes()), dict[str, float]()
        for phase, schedule, name in self.phases() if self.policy != "untrained" else ():
            stage, checkpoint = (seed, phase, Policy(self.policy)), folder / f"{name}.safetensors"
            pace = self.batch_tokens, self.save_every
            if (loss := train(model, tokenizer, stage, schedule, checkpoint, *pace)) is not None:
                losses[f"loss_{phase.value}"] = loss
        target = Path(self.output).expanduser().absolute()
        save_pretrained(model, tokenizer, target, recipe | {"policy": self.policy, **losses})
        sizes = self.num_hidden_layers, self.hidden_size
        write_text(target / "README.md", model_card(self.policy, *sizes))
        return Result(metrics=losses, notes=[f"model saved to {target}"])
