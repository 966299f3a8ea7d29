"""Every architecture: the checks at load, residuals against hidden_states, steering against a plain
hook, replay against full forwards."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GraniteConfig, OPTConfig

from emoexp.config import ModelConfig, ModulesConfig, SteeringSpan
from emoexp.errors import EmoexpError
from emoexp.models.architectures import Unembedding, find_paths, get_submodule
from emoexp.models.loading.load import BUNDLED
from emoexp.models.open import silence_libraries
from emoexp.models.prompts import Prompt, ask, fill, token_mask
from emoexp.models.subject import Steering, SubjectModel
from emoexp.steering.preference import Preferences
from emoexp.stimuli import Stimuli
from tests.helpers.tiny_models import ARCHITECTURES, COMMON, LAYERS, tiny_network
from tests.steering.test_preference import exact_margins

NO_REPLAY = {
    "mistral",
    "gemma2",
    "gemma3_text",
    "gemma3",
    "gemma4_text",
    "gemma4",
    "olmo3",
    "gpt_oss",
}
"""Whose tiny models have a window shorter than a preference prompt, or whose blocks return more
than the residual stream."""


def subject_of(name: str, network: nn.Module, **modules: str) -> SubjectModel:
    silence_libraries()
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "organism")
    return SubjectModel(
        network,
        tokenizer,
        ModelConfig(name=name, repo_id=name, batch_tokens=2048, modules=ModulesConfig(**modules)),
    )


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def subject(request: pytest.FixtureRequest) -> SubjectModel:
    return subject_of(request.param, tiny_network(request.param))


@contextmanager
def plain_hooks(
    subject: SubjectModel,
    layers: Iterable[int],
    change: Callable[[torch.Tensor, int], torch.Tensor],
) -> Iterator[None]:
    """The oracle: forward hooks on the blocks, whatever else they return."""

    def hook(layer: int) -> Callable[..., Any]:
        return lambda _m, _i, out: (
            (change(out[0], layer), *out[1:]) if isinstance(out, tuple) else change(out, layer)
        )

    handles = [
        get_submodule(subject.network, subject.paths.layers)[layer].register_forward_hook(
            hook(layer)
        )
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def two_prompts(subject: SubjectModel, layers: tuple[int, ...] = (0, 1)) -> tuple[object, Steering]:
    pairs = (("tea", "a long walk"), ("old books", "rain"))
    prompts = [
        ask(fill("Do you like {a} or {b}?", a=a, b=b), subject.config.format, subject.tokenizer)
        for a, b in pairs
    ]
    encoding = subject.encode(prompts)
    generator = torch.Generator().manual_seed(3)
    return encoding, Steering(
        {layer: torch.randn(2, subject.d_model, generator=generator) for layer in layers},
        token_mask(prompts, ["a"], encoding),
    )


def test_residuals_are_the_hidden_states(subject: SubjectModel) -> None:
    assert subject.n_layers == LAYERS
    encoding = subject.encode(
        [
            Prompt("A cart rolled by."),
            Prompt("The clock on the wall showed ten past. The road was dry."),
        ]
    )
    hidden = subject.network(
        **subject.inputs(encoding), output_hidden_states=True, use_cache=False
    ).hidden_states
    ours = subject.residuals(encoding, range(LAYERS))
    for layer in range(LAYERS - 1):
        torch.testing.assert_close(ours[layer], hidden[layer + 1], rtol=0, atol=0)


def test_padding_does_not_matter(subject: SubjectModel) -> None:
    texts = [
        "A cart rolled by.",
        (
            "The clock on the wall showed ten past. The road was dry and the light was grey over"
            " the harbour, as it had been all week."
        ),
    ]
    for side in ("left", "right"):
        encoding = subject.encode([Prompt(t) for t in texts], side=side)
        together = subject.residuals(encoding, [LAYERS - 1])[0]
        for row, text in enumerate(texts):
            alone = subject.residuals(subject.encode([Prompt(text)]), [LAYERS - 1])[0, 0]
            torch.testing.assert_close(
                together[row][encoding.mask[row]], alone, rtol=1e-3, atol=1e-3
            )


def test_steered_logits_equal_plain_hooks(subject: SubjectModel) -> None:
    encoding, steering = two_prompts(subject)
    unsteered = subject.network(**subject.inputs(encoding), use_cache=False).logits[:, -1]
    torch.testing.assert_close(subject.next_token_logits(encoding), unsteered, rtol=1e-3, atol=1e-3)
    with plain_hooks(subject, steering.vectors, lambda out, layer: out + steering.addition(layer)):
        theirs = subject.network(**subject.inputs(encoding), use_cache=False).logits[:, -1]
    torch.testing.assert_close(
        subject.next_token_logits(encoding, steering), theirs, rtol=1e-3, atol=1e-3
    )
    assert not torch.allclose(theirs, unsteered, atol=1e-2)


@pytest.mark.parametrize("layers", [(0, 1), (3, 4)])
def test_steered_generation_equals_plain_hooks(
    subject: SubjectModel, layers: tuple[int, ...]
) -> None:
    encoding, steering = two_prompts(subject, layers)
    ours = subject.generate(encoding, max_new_tokens=6, steering=steering).texts
    calls: Counter[int] = Counter()

    def change(output: torch.Tensor, layer: int) -> torch.Tensor:
        calls[layer] += 1
        return output + (
            steering.addition(layer)[:, -output.shape[1] :]
            if calls[layer] == 1
            else steering.vectors[layer][:, None]
        )

    with plain_hooks(subject, layers, change):
        theirs = subject.network.generate(
            input_ids=encoding.ids,
            attention_mask=encoding.mask.long(),
            max_new_tokens=6,
            do_sample=False,
        )
    assert ours == tuple(
        subject.tokenizer.batch_decode(theirs[:, encoding.ids.shape[1] :], skip_special_tokens=True)
    )


@pytest.mark.parametrize("band", [(0,), (2,), (1, 3)])
def test_steered_margins_are_exact_by_whichever_path(
    subject: SubjectModel, pack: Stimuli, band: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """The replay is used only where it equals full forwards; where it does not, the log says so and
    the numbers are right all the same."""
    preferences = Preferences(subject, pack)
    caplog.set_level(logging.WARNING)
    replays = preferences.replays(band)
    assert replays == (subject.config.name not in NO_REPLAY)
    assert bool(re.search("no prefix replay at layers", caplog.text)) != replays
    vectors = torch.randn(2, len(band), subject.d_model, generator=torch.Generator().manual_seed(1))
    i = int(np.flatnonzero(preferences.steered)[0])
    others = preferences._affected(i)
    found = preferences._steer_prefix(i, SteeringSpan.steered_activity, band, vectors)
    sample = [0, len(others) // 2, len(others) - 1]
    for k in range(2):
        slow = exact_margins(
            preferences,
            i,
            [others[s] for s in sample],
            SteeringSpan.steered_activity,
            band,
            vectors[k],
        )
        np.testing.assert_allclose(found[k, sample], slow, atol=1e-4)


def test_a_window_longer_than_the_prompts_is_no_obstacle(pack: Stimuli) -> None:
    config = ARCHITECTURES["gemma2"]()
    config.sliding_window = 512
    torch.manual_seed(7)
    assert Preferences(
        subject_of("gemma2", AutoModelForCausalLM.from_config(config)), pack
    ).replays((2,))


def test_shared_keys_and_values_bound_what_steering_can_reach(pack: Stimuli) -> None:
    """Gemma-4 E4B's upper blocks reuse keys and values from below: what is added above those on an
    earlier token reaches nothing."""
    subject = subject_of("gemma4_text", tiny_network("gemma4_text"))
    assert subject.last_steerable_layer == LAYERS - 2 - 2
    preferences, vectors = (
        Preferences(subject, pack),
        5 * torch.randn(1, 1, subject.d_model, generator=torch.Generator().manual_seed(1)),
    )
    i = int(np.flatnonzero(preferences.steered)[0])
    unsteered = preferences._unsteered(i, preferences._affected(i))
    changes = [
        np.abs(
            preferences._steer_prefix(i, SteeringSpan.steered_activity, (layer,), vectors)[0]
            - unsteered
        ).max()
        for layer in (1, 2)
    ]
    assert changes[0] > 0.1
    assert changes[1] < 1e-4


def opt() -> nn.Module:
    torch.manual_seed(7)
    shape = {
        k: v
        for k, v in COMMON.items()
        if k not in ("intermediate_size", "num_key_value_heads", "initializer_range")
    }
    return AutoModelForCausalLM.from_config(
        OPTConfig(**shape, ffn_dim=48, word_embed_proj_dim=32, init_std=0.3)
    ).eval()


def test_an_unknown_architecture_is_one_line_and_works_once_named() -> None:
    with pytest.raises(
        EmoexpError,
        match=(
            r"OPTForCausalLM: no layers at .*model\.modules\.layers=<path>\. The network has"
            r" model\.decoder\.layers"
        ),
    ):
        subject_of("opt", opt())
    with pytest.raises(
        EmoexpError, match=r"no norm at .*The network has model\.decoder\.final_layer_norm"
    ):
        subject_of("opt", opt(), layers="model.decoder.layers")
    subject = subject_of(
        "opt", opt(), layers="model.decoder.layers", norm="model.decoder.final_layer_norm"
    )
    encoding = subject.encode([Prompt("The road was dry.")])
    torch.testing.assert_close(
        subject.next_token_logits(encoding),
        subject.network(**subject.inputs(encoding)).logits[:, -1],
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize(
    ("part", "path", "says"),
    [
        ("layers", "model.nowhere", "no layers at model.nowhere"),
        ("layers", "model.norm", "not a ModuleList of decoder blocks"),
        (
            "norm",
            "model.layers.0.input_layernorm",
            "final norm and unembedding do not give|is not the last hidden state",
        ),
        ("unembedding", "model.layers.0.mlp.up_proj", "model"),
    ],
)
def test_a_part_wrongly_named_is_refused(part: str, path: str, says: str) -> None:
    with pytest.raises(EmoexpError, match=says):
        subject_of("llama", tiny_network("llama"), **{part: path})


def test_what_the_checks_do_not_know_is_refused() -> None:
    """A step between the norm and the logits that the table does not have."""
    network = tiny_network("llama")
    network.lm_head.register_forward_hook(lambda _m, _i, out: 1.5 * out)
    with pytest.raises(
        EmoexpError, match="final norm and unembedding do not give the model's logits"
    ):
        subject_of("llama", network)


def test_a_scaled_unembedding_is_known() -> None:
    torch.manual_seed(7)
    network = AutoModelForCausalLM.from_config(GraniteConfig(**COMMON, logits_scaling=8.0))
    assert subject_of("granite", network).unembedding.scale == 1 / 8


def test_the_lens_is_the_change_of_the_logits(subject: SubjectModel) -> None:
    """Where the norm's own scale is held and the softcap is small, logits move by the lens of what
    is added to the residual."""
    unembedding = subject.unembedding
    direction = torch.randn(1, subject.d_model, generator=torch.Generator().manual_seed(5))
    h = direction - direction.mean() if unembedding.centred else direction
    normed = get_submodule(subject.network, subject.paths.norm)(direction)
    rms = (h.pow(2).mean() + 1e-6).sqrt()
    bias = (
        get_submodule(subject.network, subject.paths.norm)(torch.ones_like(direction))
        if unembedding.centred
        else torch.zeros_like(direction)
    )
    softcap, unembedding.softcap = unembedding.softcap, None
    expected = (unembedding.logits(normed) - unembedding.logits(bias)) / unembedding.scale
    unembedding.softcap = softcap
    torch.testing.assert_close(unembedding.lens(direction) / rms, expected, rtol=1e-3, atol=1e-3)


def test_paths_are_found_by_the_table() -> None:
    assert (
        find_paths(tiny_network("gemma3"), ModulesConfig()).layers == "model.language_model.layers"
    )
    gpt2, llama = (
        Unembedding.of(network, find_paths(network, ModulesConfig()))
        for network in (tiny_network("gpt2"), tiny_network("llama"))
    )
    assert (gpt2.centred, llama.centred) == (True, False)


@pytest.mark.parametrize("part", ["model.norm", "model.layers", "model.rotary_emb"])
def test_an_unembedding_that_is_no_linear_map_is_refused(part: str) -> None:
    with pytest.raises(EmoexpError, match=rf"unembedding={part} is a .*, not a linear map"):
        find_paths(tiny_network("llama"), ModulesConfig(unembedding=part))


@pytest.mark.parametrize("part", ["lm_head", "model.layers.0", "model", "model.embed_tokens"])
def test_a_norm_that_is_none_is_refused(part: str) -> None:
    network = tiny_network("llama")
    with pytest.raises(EmoexpError, match=rf"{part} does not work as a final norm; name it"):
        Unembedding.of(network, find_paths(network, ModulesConfig(norm=part)))


def test_a_norm_that_finds_no_memory_is_not_blamed() -> None:
    network = tiny_network("llama")

    def full(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    network.model.norm.forward = full
    with pytest.raises(RuntimeError, match="out of memory"):
        Unembedding.of(network, find_paths(network, ModulesConfig()))


def test_a_model_whose_tokens_see_later_ones_is_refused() -> None:
    network = tiny_network("llama")
    inner = network.model.layers[1].mlp.forward
    network.model.layers[1].mlp.forward = lambda h: inner(h) + h.mean(1, keepdim=True)
    with pytest.raises(
        EmoexpError, match="depends on the tokens after it .* causal language model"
    ):
        subject_of("both ways", network)
