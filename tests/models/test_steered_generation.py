"""Generation against the slow oracle: one row at a time, no padding, no cache, a plain PyTorch
hook, the next token by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from emoexp.models.prompts import Encoding, Prompt, token_mask
from emoexp.models.sampling import PerRowSampler
from emoexp.models.subject import Steering, SubjectModel

TEXTS = [
    "Human: I wiped away a tear.\n\nAssistant:",
    "Human: The bells had rung for my wedding and I sang. What comes next?\n\nAssistant:",
    "A cart rolled by.",
]
SPANS = ("none", "part", "prompt")


@contextmanager
def added(model: SubjectModel, layer: int, what: Tensor) -> Iterator[None]:
    """The oracle's steering: `what` (token, d_model) is added to the output of a block."""
    handle = model.network.model.layers[layer].register_forward_hook(
        lambda _m, _i, output: output + what
    )
    try:
        yield
    finally:
        handle.remove()


def by_hand(
    model: SubjectModel,
    ids: list[int],
    steer: tuple[int, Tensor, list[bool]] | None,
    n: int,
    seed: int | None = None,
    ends: frozenset[int] = frozenset(),
) -> list[int]:
    """The next `n` tokens of one text; `steer` is a layer, a vector and which tokens of the prompt
    it is added to."""
    said: list[int] = []
    draw = None if seed is None else PerRowSampler([seed], 1.0)
    while len(said) < n:
        tokens = torch.tensor([ids + said])
        layer, vector, mask = steer or (0, torch.zeros(model.d_model), [False] * len(ids))
        where = torch.tensor(mask + [True] * len(said))
        with added(model, layer, where[:, None] * vector):
            logits = model.network(tokens, use_cache=False).logits[:, -1].float()
        token = int((logits if draw is None else draw(tokens, logits)).argmax())
        if token in ends:
            break
        said.append(token)
    return said


def prompts_and_mask(model: SubjectModel, span: str) -> tuple[Encoding, Tensor, list[list[bool]]]:
    prompts = [Prompt(t, {"part": ((2, 9),)}) for t in TEXTS]
    encoding = model.encode(prompts)
    mask = {
        "none": torch.zeros_like(encoding.mask),
        "part": token_mask(prompts, ["part"], encoding),
        "prompt": encoding.mask,
    }[span]
    return encoding, mask, [mask[r][encoding.mask[r]].tolist() for r in range(len(TEXTS))]


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("span", SPANS)
def test_steered_generation_is_the_oracles_token_by_token(
    tiny: SubjectModel, span: str, temperature: float, use_cache: bool
) -> None:
    """Left padding, a vector of its own for each row, with and without a cache, greedy and
    sampled."""
    encoding, mask, of_row = prompts_and_mask(tiny, span)
    vectors = torch.randn(3, tiny.d_model, generator=torch.Generator().manual_seed(1)) * 2
    seeds = [4, 5, 6] if temperature else None
    said = tiny.generate(
        encoding,
        max_new_tokens=10,
        temperature=temperature,
        seeds=seeds,
        steering=Steering({2: vectors}, mask),
        use_cache=use_cache,
    )
    ends = frozenset([tiny.tokenizer.eos_token_id])
    for r in range(3):
        ids = encoding.ids[r][encoding.mask[r]].tolist()
        assert list(said.ids[r]) == by_hand(
            tiny, ids, (2, vectors[r], of_row[r]), 10, seeds[r] if seeds else None, ends
        )
        unsteered = by_hand(tiny, ids, None, 10, seeds[r] if seeds else None, ends)
        assert (
            list(
                tiny.generate(
                    encoding,
                    max_new_tokens=10,
                    temperature=temperature,
                    seeds=seeds,
                    use_cache=use_cache,
                ).ids[r]
            )
            == unsteered
        )
    assert any(
        list(said.ids[r]) != by_hand(tiny, encoding.ids[r][encoding.mask[r]].tolist(), None, 10)
        for r in range(3)
    )


def test_two_layers_of_a_band_are_steered_together(tiny: SubjectModel) -> None:
    encoding, mask, _ = prompts_and_mask(tiny, "none")
    vector = torch.randn(1, tiny.d_model, generator=torch.Generator().manual_seed(3))
    said = tiny.generate(
        encoding, max_new_tokens=6, steering=Steering({1: vector, 3: vector}, mask)
    )
    for r in range(3):
        ids = encoding.ids[r][encoding.mask[r]].tolist()
        found: list[int] = []
        for _ in range(6):
            what = torch.tensor([False] * len(ids) + [True] * len(found))[:, None] * vector[0]
            with added(tiny, 1, what), added(tiny, 3, what):
                found.append(
                    int(
                        tiny.network(torch.tensor([ids + found]), use_cache=False)
                        .logits[0, -1]
                        .argmax()
                    )
                )
        assert list(said.ids[r]) == found


def test_a_row_that_stops_early_leaves_the_others_alone(tiny: SubjectModel) -> None:
    """The second row's third token is made the end of a text: it ends there, and the others go on
    as if they were alone."""
    encoding, mask, _ = prompts_and_mask(tiny, "prompt")
    vectors = torch.randn(3, tiny.d_model, generator=torch.Generator().manual_seed(1)) * 2
    how = Steering({2: vectors}, mask)
    free = tiny.generate(encoding, max_new_tokens=12, steering=how)
    ends_at = next(
        n
        for n in range(2, 12)
        if free.ids[1][n] not in (*free.ids[1][:n], *free.ids[0], *free.ids[2])
    )
    config = tiny.network.generation_config
    kept, config.eos_token_id = config.eos_token_id, free.ids[1][ends_at]
    try:
        said = tiny.generate(encoding, max_new_tokens=12, steering=how)
    finally:
        config.eos_token_id = kept
    assert said.ended == (False, True, False)
    assert said.ids[1] == free.ids[1][:ends_at]
    assert (said.ids[0], said.ids[2]) == (free.ids[0], free.ids[2])


def test_what_a_row_says_does_not_depend_on_its_batch(tiny: SubjectModel) -> None:
    together = tiny.generate(
        tiny.encode([Prompt(t) for t in TEXTS]), max_new_tokens=12, temperature=1.0, seeds=[7, 8, 9]
    )
    for text, seed, said in zip(TEXTS, (7, 8, 9), together.texts, strict=True):
        assert tiny.generate(
            tiny.encode([Prompt(text)]), max_new_tokens=12, temperature=1.0, seeds=[seed]
        ).texts == (said,)
    assert (
        tiny.generate(
            tiny.encode([Prompt(TEXTS[0])]), max_new_tokens=12, temperature=1.0, seeds=[10]
        ).texts
        != together.texts[:1]
    )


def test_sampling_without_seeds_and_right_padding_are_refused(tiny: SubjectModel) -> None:
    with pytest.raises(ValueError, match="a seed for each row"):
        tiny.generate(
            tiny.encode([Prompt(t) for t in TEXTS]), max_new_tokens=2, temperature=1.0, seeds=[1]
        )
    with pytest.raises(ValueError, match="left padding"):
        tiny.generate(tiny.encode([Prompt(t) for t in TEXTS], side="right"), max_new_tokens=2)


@pytest.mark.parametrize("side", ["left", "right"])
def test_log_probabilities_are_the_models_own(tiny: SubjectModel, side: str) -> None:
    encoding = tiny.encode([Prompt(t) for t in TEXTS], side=side)
    wanted = encoding.mask & (encoding.positions > 2)
    vectors = torch.randn(3, tiny.d_model, generator=torch.Generator().manual_seed(1))
    found = tiny.log_probs(encoding, wanted, Steering({1: vectors}, encoding.mask))
    assert torch.equal(found.isnan(), ~wanted)
    for r in range(3):
        ids = encoding.ids[r][encoding.mask[r]]
        with added(tiny, 1, vectors[r]):
            theirs = tiny.network(ids[None], use_cache=False).logits[0].float().log_softmax(-1)
        torch.testing.assert_close(
            found[r][wanted[r]], theirs[2:-1].gather(1, ids[3:, None])[:, 0], rtol=1e-4, atol=1e-4
        )
    with pytest.raises(ValueError, match="has no probability"):
        tiny.log_probs(encoding, encoding.mask)
