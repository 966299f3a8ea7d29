"""Oracles: residuals against hidden_states, interventions against a plain PyTorch hook; invariance
to padding and batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from emoexp.config import ModelConfig
from emoexp.errors import EmoexpError
from emoexp.models.prompts import Prompt, ask, fill, token_mask
from emoexp.models.subject import Steering, SubjectModel

TEXTS = [
    "Human: I wiped away a tear.\n\nAssistant:",
    "Human: The bells had rung for my wedding and I sang. What comes next?\n\nAssistant:",
    "A cart rolled by.",
]


@contextmanager
def hook(model: SubjectModel, layer: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """The oracle: a plain forward hook on the block."""
    handle = model.network.model.layers[layer].register_forward_hook(
        lambda _m, _i, output: change(output)
    )
    try:
        yield
    finally:
        handle.remove()


def test_residuals_are_the_block_outputs(tiny: SubjectModel) -> None:
    encoding = tiny.encode([Prompt(t) for t in TEXTS])
    ours = tiny.residuals(encoding, range(tiny.n_layers))
    theirs = tiny.network(**tiny.inputs(encoding), output_hidden_states=True).hidden_states
    for layer in range(tiny.n_layers - 1):
        torch.testing.assert_close(ours[layer], theirs[layer + 1], rtol=0, atol=0)
    last = tiny.n_layers - 1
    assert not torch.allclose(ours[last], theirs[last + 1]), (
        "the last hidden state is after the final norm; a residual is not"
    )
    torch.testing.assert_close(tiny.network.model.norm(ours[last]), theirs[last + 1])


@pytest.mark.parametrize("side", ["left", "right"])
def test_residuals_do_not_depend_on_padding_or_batch(tiny: SubjectModel, side: str) -> None:
    encoding = tiny.encode([Prompt(t) for t in TEXTS], side=side)
    together = tiny.residuals(encoding, [2])[0]
    for row, text in enumerate(TEXTS):
        alone = tiny.residuals(tiny.encode([Prompt(text)]), [2])[0, 0]
        torch.testing.assert_close(together[row][encoding.mask[row]], alone, rtol=1e-4, atol=1e-4)


def test_layers_out_of_range_are_refused(tiny: SubjectModel) -> None:
    with pytest.raises(
        EmoexpError, match=r"layer=5 is out of range: the model has 5 blocks, 0 to 4"
    ):
        tiny.residuals(tiny.encode([Prompt("x")]), [5])


def steering_on(
    model: SubjectModel, layers: tuple[int, ...]
) -> tuple[list[Prompt], object, Steering]:
    prompts = [
        ask(fill("Do you like {a} or {b}?", a=a, b=b), model.config.format, model.tokenizer)
        for a, b in (("tea", "a long walk"), ("old books", "rain"))
    ]
    encoding = model.encode(prompts)
    generator = torch.Generator().manual_seed(3)
    vectors = {layer: torch.randn(2, model.d_model, generator=generator) for layer in layers}
    return prompts, encoding, Steering(vectors, token_mask(prompts, ["a"], encoding))


@pytest.mark.parametrize("layers", [(0,), (2,), (1, 3), (4,)])
def test_steered_logits_equal_a_plain_hook(tiny: SubjectModel, layers: tuple[int, ...]) -> None:
    _, encoding, steering = steering_on(tiny, layers)
    ours = tiny.next_token_logits(encoding, steering)
    handles = [
        tiny.network.model.layers[layer].register_forward_hook(
            lambda _m, _i, out, layer=layer: out + steering.addition(layer)
        )
        for layer in layers
    ]
    theirs = tiny.network(**tiny.inputs(encoding)).logits[:, -1]
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    if layers != (4,):
        assert not torch.allclose(ours, tiny.next_token_logits(encoding)), (
            "steering below the last block must reach the answer"
        )


def test_strength_zero_is_the_identity_and_rows_are_isolated(tiny: SubjectModel) -> None:
    _, encoding, steering = steering_on(tiny, (2,))
    plain = tiny.next_token_logits(encoding)
    still = Steering({2: torch.zeros(2, tiny.d_model)}, steering.mask)
    assert torch.equal(tiny.next_token_logits(encoding, still), plain)
    first = steering.mask.clone()
    first[1] = False
    only_first = tiny.next_token_logits(encoding, Steering(steering.vectors, first))
    assert torch.equal(only_first[1], plain[1])
    assert not torch.equal(only_first[0], plain[0])


def test_steering_changes_nothing_before_the_span(tiny: SubjectModel) -> None:
    """Causality: residuals of tokens before the first steered one stay as they are."""
    prompts, encoding, steering = steering_on(tiny, (1,))
    plain = tiny.residuals(encoding, [4])[0]
    with hook(tiny, 1, lambda out: out + steering.addition(1)):
        steered = tiny.residuals(encoding, [4])[0]
    for row in range(len(prompts)):
        first = int(steering.mask[row].nonzero()[0])
        assert torch.equal(plain[row, :first], steered[row, :first])
        assert not torch.equal(plain[row, first:], steered[row, first:])


def test_unembedding_gives_the_models_own_logits(tiny: SubjectModel) -> None:
    """A direction's lens is the part of the logits that is linear in it, final norm's gain
    included."""
    encoding = tiny.encode([Prompt(TEXTS[0])])
    h = tiny.residuals(encoding, [tiny.n_layers - 1])[0, 0, -1]
    scaled = h / (h.pow(2).mean() + tiny.network.config.rms_norm_eps).sqrt()
    lens = torch.tensor(tiny.unembed(scaled[None].numpy())[0], dtype=torch.float32)
    torch.testing.assert_close(lens, tiny.next_token_logits(encoding)[0], rtol=1e-4, atol=1e-4)


def test_unknown_models_are_one_line() -> None:
    with pytest.raises(
        EmoexpError, match="there is no bundled model 'claude': choose from .*organism"
    ):
        SubjectModel.load(ModelConfig(name="x", repo_id="bundled:claude"))
    with pytest.raises(EmoexpError, match="model.dtype='float8' is unknown"):
        SubjectModel.load(ModelConfig(name="x", repo_id="bundled:organism", dtype="float8"))
