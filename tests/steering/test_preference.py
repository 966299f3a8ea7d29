"""The replay against full forwards, pair by pair; which tokens each span steers; one-order bugs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emoexp.config import SteeringSpan
from emoexp.models.prompts import token_mask
from emoexp.models.subject import SubjectModel
from emoexp.steering.preference import Preferences, marks
from emoexp.steering.replay import shared_prefix
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts
from tests.helpers.full_forwards import exact_margins


@pytest.mark.parametrize("span", list(SteeringSpan))
@pytest.mark.parametrize("band", [(2,), (0,), (1, 3), (3,), (2, 4), (4,)])
def test_replay_equals_full_forwards(
    tiny: SubjectModel, pack: Stimuli, span: SteeringSpan, band: tuple[int, ...]
) -> None:
    preferences = Preferences(tiny, pack)
    vectors = torch.randn(3, len(band), tiny.d_model, generator=torch.Generator().manual_seed(1))
    assert preferences.replays(band)  # else full forwards would be held against themselves
    steered, control = (int(np.flatnonzero(preferences.steered == on)[0]) for on in (True, False))
    for i in (steered, control):
        others = preferences._affected(i)
        fast = preferences._steer_prefix(i, span, band, vectors)
        sample = [0, 1, len(others) // 2, len(others) - 1]
        for k in range(3):
            slow = exact_margins(
                preferences, i, [others[s] for s in sample], span, band, vectors[k]
            )
            np.testing.assert_allclose(fast[k, sample], slow, atol=1e-4)


def test_unsteered_margins_equal_full_forwards_and_cover_both_orders(
    tiny: SubjectModel, pack: Stimuli, tmp_path: Path
) -> None:
    preferences = Preferences(tiny, pack)
    margins = preferences.baseline(Artifacts(tmp_path))
    assert margins.shape == (64, 64)
    a, b = preferences.options
    for i, j in ((0, 1), (1, 0), (63, 5), (5, 63)):
        logits = tiny.next_token_logits(tiny.encode([preferences.prompt(i, j)]))[0]
        assert margins[i, j] == pytest.approx(float(logits[a] - logits[b]), abs=1e-4)
    assert not np.allclose(margins, -margins.T), "the two orders of a pair are two measurements"


def test_pairs_without_a_steered_side_do_not_change(
    tiny: SubjectModel, pack: Stimuli, tmp_path: Path
) -> None:
    preferences, store = Preferences(tiny, pack), Artifacts(tmp_path)
    base = preferences.baseline(store)
    vectors = np.random.default_rng(0).standard_normal((2, 1, tiny.d_model))
    steered = preferences.steer(store, base, SteeringSpan.steered_activity, (1,), vectors)
    control = ~preferences.steered
    assert np.array_equal(
        steered[:, control][:, :, control], np.repeat(base[None][:, control][:, :, control], 2, 0)
    )
    changed = (steered != base[None]).any(0)
    touched = preferences.steered[:, None] | preferences.steered[None, :]
    np.fill_diagonal(touched, False)
    assert np.array_equal(changed, touched)
    assert touched.sum() == 4032 - 32 * 31


def test_the_paper_steers_the_steered_side_only() -> None:
    only = SteeringSpan.steered_activity
    assert marks(only, (True, False)) == ("a",)
    assert marks(only, (False, True)) == ("b",)
    assert marks(only, (True, True)) == ("a", "b")
    for span in SteeringSpan:
        assert marks(span, (False, False)) == ()
    assert marks(SteeringSpan.both_activities, (True, False)) == (
        "a",
        "b",
    ), "the known bug, kept as an ablation"
    assert marks(SteeringSpan.control_activity, (True, False)) == ("b",)


def test_the_mask_covers_the_activity_and_nothing_else(tiny: SubjectModel, pack: Stimuli) -> None:
    preferences = Preferences(tiny, pack)
    prompt = preferences.prompt(3, 9)
    encoding = tiny.encode([prompt])
    mask = token_mask([prompt], ["a"], encoding)
    text = tiny.tokenizer.decode(encoding.ids[0][mask[0]])
    assert text.strip() == pack.activities[3].text


def test_one_activity_inside_another_is_not_confused(tiny: SubjectModel) -> None:
    """Spans come from formatting, so "walk" in "walk home" is no trap (a text search finds the
    first)."""
    from emoexp.models.prompts import ask, fill

    prompt = ask(
        fill("Would you prefer to (A) {a} or (B) {b}?", a="walk home with Ida", b="walk home"),
        tiny.config.format,
        tiny.tokenizer,
    )
    encoding = tiny.encode([prompt])
    mask = token_mask([prompt], ["b"], encoding)
    assert tiny.tokenizer.decode(encoding.ids[0][mask[0]]).strip() == "walk home"
    assert int(mask[0].nonzero()[0]) > int(token_mask([prompt], ["a"], encoding)[0].nonzero()[-1])


def test_option_tokens_are_taken_in_context(tiny: SubjectModel, pack: Stimuli) -> None:
    a, b = Preferences(tiny, pack).options
    assert (tiny.tokenizer.decode([a]), tiny.tokenizer.decode([b])) == ("A", "B")
    assert a != tiny.tokenizer(" A", add_special_tokens=False)["input_ids"][0]


def test_shared_prefix() -> None:
    assert shared_prefix([[1, 2, 3, 4], [1, 2, 5]]) == 2
    assert shared_prefix([[1, 2, 3], [1, 2, 3]]) == 2, "a suffix of at least one token"
