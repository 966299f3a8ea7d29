"""Pages take turns with one model, and another one is opened after the first is freed."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence

import pytest

from emoexp.errors import EmoexpError
from emoexp.explore.page import engine as engines
from emoexp.explore.page.engine import Engine, installed, models
from emoexp.store.progress import meter


class Fake:
    """A reader in whose place nothing is loaded; its `study` is itself, as its parts are."""

    def __init__(self, overrides: Sequence[str], load: Callable[[], object]) -> None:
        self.study = self.config = self.cycle = self
        self.name, self.load = "fake", load
        self.model = self
        self.stimuli = self.vectors = self.reference = None

    @property
    def means(self) -> object:
        return self.load()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    def opened(overrides: Sequence[str]) -> Fake:
        if "model=wrong" in overrides:
            raise EmoexpError("unknown model 'wrong'")
        return Fake(overrides, lambda: None)

    monkeypatch.setattr(engines, "_engines", [])
    monkeypatch.setattr(engines, "POLL_S", 0.01)
    return Engine(opened, ["scale=smoke", "model=a", "model.dtype=float32", "layer=3"])  # type: ignore[arg-type]


def test_a_second_page_waits_with_a_message(engine: Engine) -> None:
    said, done = list[str](), threading.Event()

    def second() -> None:
        with engine.turn(said.append):
            done.set()

    with engine.turn(said.append):
        waiting = threading.Thread(target=second)
        waiting.start()
        while not said:
            time.sleep(0.01)
        assert not done.is_set()
    waiting.join(10)
    assert done.is_set()
    assert set(said) == {"Another page is using the model: this one waits for it."}


def test_another_model_is_loaded_after_the_first_is_freed(engine: Engine) -> None:
    engine.start()
    engine.wait_until_loaded(str)
    engine.open_model("organism", print)
    new, old = installed(), weakref.ref(engine.reader)
    assert new.overrides == ["scale=smoke", "model=organism"]
    time.sleep(0.1)
    assert new.doing == "Freeing the model that was open."  # this test still holds it
    with pytest.raises(EmoexpError, match="another model was opened: reload"):
        engine.turn(print).__enter__()
    del engine.reader
    new.wait_until_loaded(str)
    assert old() is None


def test_a_model_that_cannot_be_opened_leaves_the_open_one(engine: Engine) -> None:
    with pytest.raises(EmoexpError, match="unknown model 'wrong'"):
        engine.open_model("wrong", print)
    with engine.turn(print):
        pass
    assert "organism" in models()
    assert "custom" not in models()


def test_what_is_loaded_is_said_with_the_time_left(engine: Engine) -> None:
    def load() -> None:
        with meter("stories", 3) as progress:
            progress.advance()
            said.append(engine.doing)
        raise EmoexpError("no stories")

    said = list[str]()
    engine.reader.load = load  # type: ignore[attr-defined]
    engine.start()
    with pytest.raises(EmoexpError, match="^no stories$"):
        engine.wait_until_loaded(str)
    assert "stories: 1/3, 0:00:00 spent, 0:00:00 left" in said[0]
    assert "Reading the stories" in said[0]
