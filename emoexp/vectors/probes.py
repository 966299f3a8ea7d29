"""Residuals that probes are read from: at the end of the prompt, and on an activity's own tokens.
They are computed once at all layers and stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from emoexp.models.prompts import Prompt, fill, prompts_key, token_mask
from emoexp.models.subject import SubjectModel
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts, Row, read_layer
from emoexp.vectors.pooling import massive_tokens

VERSION = 2


def assistant_residuals(
    model: SubjectModel, artifacts: Artifacts, texts: Mapping[str, Sequence[str]], layer: int
) -> list[np.ndarray]:
    """Returns the residual at the last token of each prompt.

    That is the ":" after "Assistant" (for a chat model: the last of the generation prompt).

    Args:
        texts: by a name for them; those of one name run as one batch.

    Returns:
        for each name, (text, d_model), float64.
    """
    prompts = {name: [model.ask(Prompt(text)) for text in group] for name, group in texts.items()}

    def row(name: str) -> Row:
        encoding = model.encode(prompts[name])

        def last(residual: Tensor) -> Tensor:
            rows = torch.arange(len(residual), device=residual.device)
            return residual[rows, encoding.last.to(residual.device)].cpu()

        return _row(model.each_residual(encoding, range(model.n_layers), last))

    return _read_layer_of_rows(model, artifacts, "assistant", prompts, row, layer)


def activity_residuals(
    model: SubjectModel, artifacts: Artifacts, stimuli: Stimuli, layer: int
) -> np.ndarray:
    """Returns the mean residual over the activity's tokens of "How would you feel ...?" without
    massive ones, unless all are.

    See the paper, "Preferences".

    Returns:
        (activity, d_model), float64.
    """
    template = stimuli.templates["feeling"]
    contents = [fill(template, activity=activity.text) for activity in stimuli.activities]
    prompts = [model.ask(content) for content in contents]

    def row(_: str) -> Row:
        encoding = model.encode(prompts)
        mask = token_mask(prompts, ["activity"], encoding)

        normed = encoding.is_text & (encoding.positions > 0)

        def mean(residual: Tensor) -> Tensor:
            h = residual.cpu().double()
            used = mask & ~massive_tokens(h.norm(dim=-1), normed)
            used = torch.where(used.any(1, keepdim=True), used, mask)
            return torch.einsum("rtd,rt->rd", h, used.double()) / used.sum(1, keepdim=True)

        return _row(model.each_residual(encoding, range(model.n_layers), mean))

    return _read_layer_of_rows(model, artifacts, "activities", {"all": prompts}, row, layer)[0]


def _row(by_layer: list[Tensor]) -> Row:
    """A row of which one layer can be read, from each layer's (text, d_model)."""
    residuals = torch.stack(by_layer, 1).numpy()
    return {"n": np.array(len(residuals)), "residuals": residuals}


def _read_layer_of_rows(
    model: SubjectModel,
    artifacts: Artifacts,
    what: str,
    prompts: Mapping[str, Sequence[Prompt]],
    row: Callable[[str], Row],
    layer: int,
) -> list[np.ndarray]:
    """One layer of each row of an artifact that `row` computes; (text, d_model) each, float64."""
    model.check_layers([layer])
    identity = {
        "version": VERSION,
        "what": what,
        "model": model.identity,
    }
    # each row is keyed by its own prompts: a change of one leaves the others as they are
    names = {f"{name}, {prompts_key(group)[:16]}": name for name, group in prompts.items()}
    title = f"{what}: residuals, all layers"
    artifacts.rows(
        "readouts", identity, list(names), lambda label: row(names[label]), title, names=["n"]
    )
    paths = [artifacts.path("readouts", identity, label) for label in names]
    return [read_layer(path, "residuals", layer).astype(np.float64) for path in paths]


def cosine(residuals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Returns the cosine of each residual with each unit direction.

    Shapes: (n, d_model), (k, d_model) -> (n, k).
    """
    return residuals @ directions.T / np.linalg.norm(residuals, axis=1, keepdims=True)
