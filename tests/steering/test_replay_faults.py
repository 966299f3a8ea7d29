"""Only a comparison of numbers, or the model's own cache, may choose full forwards in place of the
replay; an exception is an error."""

from __future__ import annotations

from typing import Any

import pytest

from emoexp.models.subject import SubjectModel
from emoexp.steering.preference import Preferences
from emoexp.steering.replay import PrefixReplay
from emoexp.stimuli import Stimuli


def test_an_exception_in_the_replay_is_an_error(
    tiny: SubjectModel, pack: Stimuli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(PrefixReplay, "unsteered_finals", broken)
    with pytest.raises(KeyError, match="a mistake of ours"):
        Preferences(tiny, pack).replays(())


def test_numbers_that_differ_choose_full_forwards(
    tiny: SubjectModel, pack: Stimuli, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = PrefixReplay.unsteered_finals
    assert Preferences(tiny, pack).replays(())
    monkeypatch.setattr(PrefixReplay, "unsteered_finals", lambda self: 2 + right(self))
    assert not Preferences(tiny, pack).replays(())
