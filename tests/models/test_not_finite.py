"""Numbers that are not finite are found where they arise, and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError
from emoexp.models.loading.load import load_network
from emoexp.models.prompts import Prompt
from emoexp.models.subject import Steering, SubjectModel
from emoexp.steering.continuations import NextWords
from emoexp.store.artifacts import array_key
from tests.helpers.saved_models import model, save_tiny

LONG, SHORT = "The road was dry and the light was grey over the hill.", "A cart rolled by."


def planted(subject: SubjectModel, monkeypatch: pytest.MonkeyPatch, row: int, token: int) -> None:
    """Puts a NaN into the first dimension of one token at every layer that is read."""
    read = subject.read

    def broken(layer: int) -> Tensor:
        residual = read(layer).clone()
        residual[row, token, 0] = torch.nan
        return residual

    monkeypatch.setattr(subject, "read", broken)


def test_a_row_is_named(tiny: SubjectModel, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = tiny.encode([Prompt(LONG), Prompt(SHORT)], side="right")
    planted(tiny, monkeypatch, 1, 3)
    with pytest.raises(EmoexpError, match=f"at layer 2 in 1 of 2 texts .* is '{SHORT}'"):
        tiny.residuals(encoding, [2])


@pytest.mark.parametrize(("side", "token"), [("left", 0), ("right", -1)])
def test_padding_may_be_anything(
    tiny: SubjectModel, monkeypatch: pytest.MonkeyPatch, side: str, token: int
) -> None:
    encoding = tiny.encode([Prompt(LONG), Prompt(SHORT)], side=side)
    wanted = tiny.residuals(encoding, [2])
    planted(tiny, monkeypatch, 1, token)
    found = tiny.residuals(encoding, [2])
    assert bool(found.isfinite().all())
    real = encoding.mask
    torch.testing.assert_close(found[0][real], wanted[0][real], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.layers.2.mlp.up_proj.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_is_named(tmp_path: Path, name: str, value: float) -> None:
    folder = save_tiny(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights[name][-1, 0] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EmoexpError, match=f"has 1 of .* in {name} that are NaN or infinite"):
        load_network(model(folder))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_generation_stops_where_logits_are_not_numbers(
    tiny: SubjectModel, temperature: float
) -> None:
    encoding = tiny.encode([Prompt(LONG), Prompt(SHORT)])
    vectors = torch.zeros(2, tiny.d_model)
    vectors[1] = torch.nan
    steering = Steering({1: vectors}, encoding.is_text)
    with pytest.raises(EmoexpError, match=r"of 1 of 2 texts are not numbers .*row 1"):
        tiny.generate(
            encoding, max_new_tokens=3, temperature=temperature, seeds=[1, 2], steering=steering
        )


def test_a_logit_of_minus_infinity_is_refused_where_it_is_asked_for(
    tiny: SubjectModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = tiny.ask(Prompt("How?"))
    words = NextWords(tiny, prompt, ["calm"], ReplySpan.turn)
    logits = tiny.unembedding.logits

    def without(final: Tensor, ids: list[int] | None = None) -> Tensor:
        whole = logits(final)
        whole[..., words.ids[0][0]] = -torch.inf
        return whole if ids is None else whole[..., ids]

    encoding = tiny.encode([prompt])
    monkeypatch.setattr(tiny.unembedding, "logits", without)
    with pytest.raises(EmoexpError, match="1 of 1 numbers computed from logits are not finite"):
        tiny.margins(encoding, (words.ids[0][0], 5))
    with pytest.raises(EmoexpError, match="computed from logits are not finite"):
        words.log_probs(1, None)


def test_a_step_that_float32_cannot_hold_is_refused() -> None:
    for value in (np.nan, np.inf, 1e39):
        with pytest.raises(EmoexpError, match="smaller strength"):
            array_key(np.array([1.0, value]))


def test_a_text_longer_than_the_positions_is_named(tiny: SubjectModel) -> None:
    encoding = tiny.encode([Prompt(SHORT), Prompt("dry " * 600)])
    with pytest.raises(EmoexpError, match=r"'dry dry .*' has \d+ tokens, and .* reads 512"):
        tiny.residuals(encoding, [0])
    with pytest.raises(EmoexpError, match="tokens and 510 new ones, and"):
        tiny.generate(tiny.encode([Prompt(SHORT)]), max_new_tokens=510)
