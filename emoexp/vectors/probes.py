"""Where probes are read: the assistant's first token, and an activity's own tokens. Read once at
all layers, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from emoexp.models.prompts import Prompt, ask, fill, token_mask
from emoexp.models.subject import SubjectModel
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts, Row, read_layer

VERSION = 1


def assistant_residuals(
    model: SubjectModel, artifacts: Artifacts, texts: Mapping[str, Sequence[str]], layer: int
) -> list[np.ndarray]:
    """Residual at the last token of each prompt, the ":" after "Assistant" (for a chat model: the
    last of the generation prompt).

    Args:
        texts: by a name for them; those of one name run as one batch.

    Returns:
        For each name, (text, d_model), float64.
    """
    prompts = {
        name: [ask(Prompt(text), model.config.format, model.tokenizer) for text in some]
        for name, some in texts.items()
    }

    def row(name: str) -> Row:
        encoding = model.encode(prompts[name])

        def last(residual: Tensor) -> Tensor:
            return residual[
                torch.arange(len(residual), device=residual.device),
                encoding.last.to(residual.device),
            ].cpu()

        return _row(
            torch.stack(model.each_residual(encoding, range(model.n_layers), last), 1).numpy()
        )

    return _at(model, artifacts, "assistant", prompts, row, layer)


def activity_residuals(
    model: SubjectModel, artifacts: Artifacts, stimuli: Stimuli, layer: int
) -> np.ndarray:
    """Mean residual over the activity's tokens of "How would you feel ...?" (paper, "Preferences").

    Returns:
        (activity, d_model), float64.
    """
    prompts = [
        ask(
            fill(stimuli.templates["feeling"], activity=a.text),
            model.config.format,
            model.tokenizer,
        )
        for a in stimuli.activities
    ]

    def row(_: str) -> Row:
        encoding = model.encode(prompts)
        mask = token_mask(prompts, ["activity"], encoding)

        def mean(residual: Tensor) -> Tensor:
            return torch.einsum("rtd,rt->rd", residual.cpu().double(), mask.double()) / mask.sum(
                1, keepdim=True
            )

        return _row(
            torch.stack(model.each_residual(encoding, range(model.n_layers), mean), 1).numpy()
        )

    return _at(model, artifacts, "activities", {"all": prompts}, row, layer)[0]


def _row(residuals: np.ndarray) -> Row:
    """(text, layer, d_model) as a row of which one layer can be read."""
    return {"n": np.array(len(residuals)), "residuals": residuals}


def _at(
    model: SubjectModel,
    artifacts: Artifacts,
    what: str,
    prompts: Mapping[str, Sequence[Prompt]],
    row: Callable[[str], Row],
    layer: int,
) -> list[np.ndarray]:
    """One layer of each row of an artifact that `row` computes."""
    model.check_layers([layer])
    texts = hashlib.sha256(
        repr(
            [
                (name, [(p.text, sorted(p.spans.items())) for p in some])
                for name, some in prompts.items()
            ]
        ).encode()
    ).hexdigest()
    identity = {
        "version": VERSION,
        "what": what,
        "model": model.identity,
        **model.format_identity,
        "prompts": texts,
    }
    artifacts.rows(
        "readouts", identity, list(prompts), row, f"{what}: residuals, all layers", names=["n"]
    )
    return [
        read_layer(artifacts.path("readouts", identity, name), "residuals", layer).astype(
            np.float64
        )
        for name in prompts
    ]


def cosine(residuals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Cosine of each residual with each unit direction; (n, d_model), (k, d_model) -> (n, k)."""
    return residuals @ directions.T / np.linalg.norm(residuals, axis=1, keepdims=True)
