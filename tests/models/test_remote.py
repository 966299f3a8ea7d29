"""model.remote=true as far as it goes without a server: nnsight's remote="local" serialises each
trace and runs it here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nnsight.modeling.transformers import TransformersModel

from emoexp.config import ModelConfig, SteeringSpan
from emoexp.errors import EmoexpError
from emoexp.models.prompts import Prompt
from emoexp.models.remote import RemoteModel
from emoexp.models.subject import SubjectModel
from emoexp.steering.preference import Preferences
from emoexp.stimuli import Stimuli
from tests.helpers.tiny_models import tiny_network
from tests.models.test_architectures import subject_of, two_prompts


@pytest.fixture(scope="module", params=["llama", "gemma2", "gpt2"])
def pair(request: pytest.FixtureRequest) -> tuple[SubjectModel, RemoteModel]:
    here = subject_of(request.param, tiny_network(request.param))
    traced = TransformersModel(here.network, tokenizer=here.tokenizer, task="text-generation")
    return here, RemoteModel(
        traced,
        here.tokenizer,
        ModelConfig(name="remote", repo_id="org/model", remote=True),
        "float32",
        where="local",
    )


def test_a_remote_model_gives_the_same_numbers(pair: tuple[SubjectModel, RemoteModel]) -> None:
    here, there = pair
    encoding, steering = two_prompts(here)
    torch.testing.assert_close(there.residuals(encoding, [3, 1]), here.residuals(encoding, [3, 1]))
    torch.testing.assert_close(there.next_token_logits(encoding), here.next_token_logits(encoding))
    torch.testing.assert_close(
        there.next_token_logits(encoding, steering), here.next_token_logits(encoding, steering)
    )
    directions = np.random.default_rng(0).standard_normal((3, here.d_model))
    np.testing.assert_allclose(there.unembed(directions), here.unembed(directions))
    for how in (None, steering):
        assert there.generate(encoding, max_new_tokens=6, steering=how) == here.generate(
            encoding, max_new_tokens=6, steering=how
        )
    with pytest.raises(EmoexpError, match="no seed of ours"):
        there.generate(encoding, max_new_tokens=2, seeds=[0, 1], temperature=1.0)


def test_preferences_of_a_remote_model_go_through_full_forwards(
    pair: tuple[SubjectModel, RemoteModel], pack: Stimuli
) -> None:
    here, there = pair
    vectors = torch.randn(1, 1, here.d_model, generator=torch.Generator().manual_seed(1))
    margins = [
        Preferences(m, pack)._steer_prefix(0, SteeringSpan.steered_activity, (1,), vectors)
        for m in pair
    ]
    np.testing.assert_allclose(*margins, atol=1e-4)
    assert not Preferences(there, pack).replays((1,))


def test_continuations_are_cut_at_the_end_token(pair: tuple[SubjectModel, RemoteModel]) -> None:
    """A row that ends early in a plain generation ends there too."""
    here, there = pair
    encoding = here.encode([Prompt("The road was dry."), Prompt("A cart rolled by.")])
    ids = here.network.generate(
        input_ids=encoding.ids,
        attention_mask=encoding.mask.long(),
        max_new_tokens=8,
        do_sample=False,
        eos_token_id=-1,
    )
    first = ids[0, encoding.ids.shape[1] :].tolist()
    third, kept = first[2], here.network.generation_config.eos_token_id
    here.network.generation_config.eos_token_id = third
    try:
        assert there.generate(encoding, max_new_tokens=8).texts[0] == here.tokenizer.decode(
            first[: first.index(third)], skip_special_tokens=True
        )
    finally:
        here.network.generation_config.eos_token_id = kept
