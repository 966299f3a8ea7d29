"""The same numbers on a GPU as on the CPU. Run by hand where there is one: pytest -m gpu
tests/gpu."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from emoexp.config import ModelConfig, Quantization, SteeringSpan
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from emoexp.steering.preference import Preferences
from emoexp.stimuli import Stimuli

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def load(device: str) -> SubjectModel:
    return SubjectModel.load(
        ModelConfig(name="organism", repo_id="bundled:organism", dtype="float32", device=device)
    )


def test_residuals_and_margins_agree(pack: Stimuli) -> None:
    models = [load("cpu"), load("cuda")]
    residuals = [
        m.residuals(m.encode([Prompt("The road was dry.")]), range(m.n_layers)).cpu()
        for m in models
    ]
    torch.testing.assert_close(*residuals, rtol=1e-3, atol=1e-3)
    vectors = torch.randn(2, 1, models[0].d_model, generator=torch.Generator().manual_seed(0))
    margins = [
        Preferences(m, pack)._steer_prefix(0, SteeringSpan.steered_activity, (3,), vectors)
        for m in models
    ]
    np.testing.assert_allclose(*margins, atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "bfloat16"},
        {"quantization": Quantization.int8},
        {"quantization": Quantization.nf4},
        {"device_map": "auto"},
    ],
    ids=lambda s: str(next(iter(s.values()))),
)
def test_other_settings_are_near(settings: dict[str, Any]) -> None:
    """Loaded in another way, the organism's logits stay close to float32's on the CPU."""
    reference = load("cpu")
    model = SubjectModel.load(
        ModelConfig(
            name="organism", repo_id="bundled:organism", **({"dtype": "float32"} | settings)
        )
    )
    logits = [
        m.next_token_logits(m.encode([Prompt("The road was dry.")])).cpu().ravel().numpy()
        for m in (reference, model)
    ]
    assert np.corrcoef(*logits)[0, 1] > 0.98
