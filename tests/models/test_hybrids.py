"""Hybrid and recurrent blocks: padding changes nothing, or the model is refused; the replay, which
needs keys and values, is not used."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from emoexp.config import ModelConfig
from emoexp.errors import EmoexpError
from emoexp.models.loading.load import BUNDLED
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from emoexp.steering.preference import Preferences
from emoexp.stimuli import Stimuli
from emoexp.stories.corpus import Corpus
from emoexp.vectors.pooling import pool_texts
from tests.helpers.tiny_models import HYBRIDS, tiny_network

EXACT = 2e-5
"""Share of the largest residual by which a padded batch may differ in float32."""
NOISE = {"qwen3_5": 3e-4, "qwen3_next": 3e-4}
"""The same where it is padded on the left. transformers computes the gated delta rule in chunks of
64 tokens and in float32 whatever the dtype, and padding on the left moves the chunks' borders;
padded on the right, float64 weights agree to 1e-15."""


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BUNDLED / "organism")


def opened(architecture: str, tokenizer: Any) -> SubjectModel:
    config = ModelConfig(name=architecture, repo_id=architecture, batch_tokens=2048)
    return SubjectModel(tiny_network(architecture), tokenizer, config)


@pytest.mark.parametrize("architecture", HYBRIDS)
def test_padded_batches_equal_single_texts(
    architecture: str, tokenizer: Any, corpus: Corpus
) -> None:
    model = opened(architecture, tokenizer)
    texts = [story.text for story in corpus.stories[:40:8]]
    for side in ("left", "right"):
        batch = model.encode([Prompt(text) for text in texts], side=side)
        together = model.residuals(batch, range(model.n_layers))
        for i, text in enumerate(texts):
            alone = model.residuals(model.encode([Prompt(text)]), range(model.n_layers))[:, 0]
            padded = together[:, i, batch.mask[i]]
            off = float((padded - alone).abs().max() / alone.abs().max())
            assert off < (NOISE.get(architecture, EXACT) if side == "left" else EXACT)
    pooled = pool_texts(model, texts)
    each = np.concatenate([pool_texts(model, [text]) for text in texts])
    assert np.abs(pooled - each).max() < EXACT * np.abs(each).max()


@pytest.mark.parametrize("architecture", HYBRIDS)
def test_preferences_are_those_of_full_forwards(
    architecture: str, tokenizer: Any, pack: Stimuli, caplog: pytest.LogCaptureFixture
) -> None:
    preferences = Preferences(opened(architecture, tokenizer), pack)
    with caplog.at_level(logging.WARNING):
        margins = preferences._unsteered(0, [1, 2, 3])
    model = preferences.model
    prompts = [preferences.reader.encode([preferences.prompt(0, j)]) for j in (1, 2, 3)]
    wanted = [float(model.margins(e, preferences.options)) for e in prompts]
    np.testing.assert_allclose(margins, wanted, rtol=1e-4, atol=1e-4)
    assert not preferences.replays(())
    assert "block 0 keeps a LinearAttentionLayer" in caplog.text
    assert "full forwards instead, which are slower and exact" in caplog.text


class Leaky(torch.nn.Module):
    """A feed-forward part that adds the running sum of all tokens before, padding included."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: Tensor) -> Tensor:
        return self.inner(hidden) + 0.1 * hidden.cumsum(1)


def test_a_model_whose_padding_leaks_is_refused(tokenizer: Any) -> None:
    network = tiny_network("llama")
    with torch.no_grad():
        network.model.embed_tokens.weight[tokenizer.pad_token_id] = 1.0  # transformers has zeros
    network.model.layers[2].mlp = Leaky(network.model.layers[2].mlp)
    with pytest.raises(EmoexpError, match="other residuals in a padded batch than alone .* wrong"):
        SubjectModel(network, tokenizer, ModelConfig(name="leaky", repo_id="leaky"))
