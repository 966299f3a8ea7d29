"""Where probes are read: the assistant's first token, and an activity's own tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from emoexp.model import SubjectModel
from emoexp.prompts import Prompt, ask, fill, token_mask
from emoexp.stimuli import Stimuli


def assistant_residuals(model: SubjectModel, texts: Sequence[str], layer: int) -> np.ndarray:
    """Residual at the last token of each prompt, the ":" after "Assistant" (for a chat model: the last of the generation prompt).

    Returns:
        (text, d_model), float64.
    """
    prompts = [ask(Prompt(text), model.config.format, model.tokenizer) for text in texts]
    encoding = model.encode(prompts)
    residuals = model.residuals(encoding, [layer])[0]
    rows = torch.arange(len(prompts), device=residuals.device)
    return residuals[rows, encoding.last.to(residuals.device)].cpu().double().numpy()


def activity_residuals(model: SubjectModel, stimuli: Stimuli, layer: int) -> np.ndarray:
    """Mean residual over the activity's tokens of "How would you feel ...?" (paper, "Preferences").

    Returns:
        (activity, d_model), float64.
    """
    prompts = [ask(fill(stimuli.templates["feeling"], activity=a.text), model.config.format, model.tokenizer) for a in stimuli.activities]
    encoding = model.encode(prompts)
    mask = token_mask(prompts, ["activity"], encoding)
    residuals = model.residuals(encoding, [layer])[0].cpu().double()
    return (torch.einsum("rtd,rt->rd", residuals, mask.double()) / mask.sum(1, keepdim=True)).numpy()


def cosine(residuals: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Cosine of each residual with each unit direction; (n, d_model), (k, d_model) -> (n, k)."""
    return residuals @ directions.T / np.linalg.norm(residuals, axis=1, keepdims=True)
