"""The check of a model when it is opened: that the parts that were found are the right ones, and
that its tokens see neither padding nor what comes after them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from emoexp.config import Quantization
from emoexp.errors import EmoexpError
from emoexp.models.loading.settings import DTYPES
from emoexp.models.prompts import Encoding, Prompt

if TYPE_CHECKING:
    from emoexp.models.subject import SubjectModel

CHECKED = "Human: What time is it?\n\nAssistant:"
"""The text of the check when a model is opened."""
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference that the checks allow, as a share of the largest logit or residual."""


@dataclass(frozen=True)
class Difference:
    """The largest difference `off` between two tensors that should be equal, and the largest value
    `scale` to compare it with; `what` describes the failure for people, and `cure` what to do."""

    what: str
    off: float
    scale: float
    cure: str = (
        "name the right parts with model.modules.layers, .norm and .unembedding, or report the"
        " architecture"
    )


def compare(what: str, ours: Tensor, theirs: Tensor) -> Difference:
    """Compares `ours` with the model's own tensor; tensors of unequal shapes differ by infinity."""
    scale = float(theirs.float().abs().max())
    if ours.shape != theirs.shape:
        return Difference(what, float("inf"), scale)
    return Difference(what, float((ours.float().cpu() - theirs.float().cpu()).abs().max()), scale)


def check(name: str, differences: list[Difference], dtype: torch.dtype) -> None:
    """Checks that all differences are within the tolerance of `dtype`.

    Raises:
        EmoexpError: names the first part that differs by more, by how much, and what to do.
    """
    tolerance = TOLERANCE.get(dtype, TOLERANCE[torch.bfloat16])
    for d in differences:
        if not d.off <= tolerance * max(d.scale, 1.0):
            raise EmoexpError(
                f"{name}: {d.what} (off by {d.off:.3g} where values reach {d.scale:.3g}), so its"
                f" numbers would be wrong; {d.cure}"
            )


@torch.no_grad()
def check_model(model: SubjectModel) -> None:
    """Checks by three tiny forwards that block outputs are the hidden states, that final norm
    and unembedding give the model's own logits, and that neither padding nor a later token
    changes a residual.

    Raises:
        EmoexpError: they do not.
    """
    if model.n_layers < 2:
        raise EmoexpError(
            f"{model.config.name} has {model.n_layers} decoder block(s) at {model.paths.layers}:"
            " at least 2 are needed; mend config.json, or choose another model"
        )
    encoding = model.encode([Prompt(CHECKED)])
    shape = (1, encoding.ids.shape[1], model.d_model)
    ours = model.residuals(encoding, range(model.n_layers))
    hidden, logits = model.reference(encoding)
    if ours.shape[1:] != shape or len(hidden) != model.n_layers + 1:
        raise EmoexpError(
            f"{model.config.name}: the {model.n_layers} blocks at {model.paths.layers} put out"
            f" {tuple(ours.shape[1:])} where a residual stream is {shape}, and the model has"
            f" {len(hidden) - 1} blocks; name the decoder blocks with"
            " model.modules.layers=<path>"
        )
    differences = [
        compare(f"the output of block {i} is not hidden state {i + 1}", ours[i], hidden[i + 1])
        for i in range(model.n_layers - 1)
    ]
    final = model.final_residuals(encoding)
    wrong_norm = f"what leaves {model.paths.norm} is not the last hidden state"
    differences.append(compare(wrong_norm, final, hidden[-1][:, -1]))
    wrong_logits = "final norm and unembedding do not give the model's logits"
    differences.append(compare(wrong_logits, model.unembedding.logits(final), logits[:, -1]))
    differences += _batch_differences(model, encoding, ours)
    check(model.config.name, differences, DTYPES[model.dtype])


def _batch_differences(model: SubjectModel, encoding: Encoding, alone: Tensor) -> list[Difference]:
    """Compares the residuals of one text with those of the same text in a padded batch, where
    recurrent blocks may carry the padding along, and at the start of a longer text, which an
    encoder reads in both directions."""
    batch = model.encode([Prompt(CHECKED), Prompt(f"{CHECKED} It is noon.\n\n{CHECKED}")])
    together, n = model.residuals(batch, range(model.n_layers)), encoding.ids.shape[1]
    padding = "a text has other residuals in a padded batch than alone"
    padded = compare(padding, together[:, :1, -n:], alone)
    later = "a token's residual depends on the tokens after it"
    before = n - 1  # the last token may be another where the text goes on
    causal = compare(later, together[:, 1:, :before], alone[:, :, :before])
    cures = ["choose a causal language model", "report the architecture"]
    if model.config.quantization is Quantization.int8:
        rounds = "int8 rounds the tokens of a batch together"
        cures = [f"{rounds}: set model.dtype=bfloat16, or model.quantization=nf4"] * 2
    return [replace(d, cure=cure) for d, cure in zip((causal, padded), cures, strict=True)]
