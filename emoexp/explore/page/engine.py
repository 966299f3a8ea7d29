"""The one model of the page's process, which all open pages share: loaded once in the background,
used by one page at a time."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from emoexp.errors import EmoexpError, one_line, require
from emoexp.explore.reader import Reader
from emoexp.explore.reading import Reading
from emoexp.places import CONF
from emoexp.store import progress

POLL_S = 0.3
FREE_S = 10.0
Opener = Callable[[Sequence[str]], Reader]


class Engine:
    """A reader that pages take turns with.

    Attributes:
        opened: makes a reader of overrides, which are the command line's; commands that reproduce
            what is shown have them too.
        error: why it cannot be loaded; empty otherwise.
    """

    def __init__(self, opened: Opener, overrides: Sequence[str]) -> None:
        self.opened, self.overrides = opened, list(overrides)
        self.reader = opened(self.overrides)
        _ = self.reader.study.stimuli  # a mistake there is reported before anything is loaded
        self.error = ""
        self._doing = "Starting."
        self._turn = threading.Lock()
        self._closed = False

    @property
    def doing(self) -> str:
        """What is being loaded, with the time that is left where it is known; empty once all is
        loaded."""
        return f"{self._doing} {progress.under_way()}".strip() if self._doing else ""

    def start(self, after: Callable[[], object] = lambda: None) -> None:
        """Begins to load the model and the vectors in the background, once `after` returns None
        (the reader that was open before is freed) or `FREE_S` seconds are over."""
        threading.Thread(target=self._load, args=(after,), daemon=True).start()

    def _load(self, after: Callable[[], object]) -> None:
        study, name = self.reader.study, self.reader.study.config.model.name
        steps: list[tuple[str, Callable[[], object]]] = [
            (f"Loading the model {name}.", lambda: study.model),
            ("Reading the stories from which the vectors are computed, all layers in one pass"
             " (they are stored, so this is done once).", lambda: study.means),
            ("Fitting the emotion vectors of all layers.", lambda: self.reader.vectors),
            ("Reading the pack's scenarios.", lambda: self.reader.reference),
        ]  # fmt: skip
        end = time.monotonic() + FREE_S
        while after() is not None and time.monotonic() < end:
            self._doing = "Freeing the model that was open."
            time.sleep(POLL_S)
            gc.collect()  # a model has cycles of references
        try:
            for text, step in steps:
                self._doing = text
                step()
        except Exception as error:
            self.error = one_line(error)
        self._doing = ""

    def wait_until_loaded(self, show: Callable[[str], object]) -> None:
        """Waits, and shows what is being loaded.

        Raises:
            EmoexpError: it cannot be loaded.
        """
        while self.doing:
            show(self.doing)
            time.sleep(POLL_S)
        if self.error:
            raise EmoexpError(self.error)

    @contextmanager
    def turn(self, show: Callable[[str], object]) -> Iterator[None]:
        """Takes the model for this page, and calls `show` while another page has it.

        Raises:
            EmoexpError: another model has been opened in the meantime.
        """
        while not self._turn.acquire(timeout=POLL_S):
            show("Another page is using the model: this one waits for it.")
        try:
            require(not self._closed, "another model was opened: reload the page")
            yield
        finally:
            self._turn.release()

    def read(self, text: str, as_turn: bool, show: Callable[[str], object]) -> Reading:
        """Reads a text; one that is known needs no turn."""
        known = self.reader.recall(text, as_turn)
        if known is not None:
            return known
        with self.turn(show):
            return self.reader.read(text, as_turn)

    def open_model(self, name: str, show: Callable[[str], object]) -> None:
        """Frees the model and begins to load another, for all pages.

        Raises:
            EmoexpError: the model cannot be opened; the one that is open stays.
        """
        own = ("model=", "model.", "layer=")
        kept = [text for text in self.overrides if not text.lstrip("+~").startswith(own)]
        with self.turn(show):
            engine = Engine(self.opened, [*kept, f"model={name}"])
            install(engine)
            self._closed = True
        engine.start(weakref.ref(self.reader))


def models() -> list[str]:
    """Returns the names of the models that `model=` takes alone."""
    return sorted(path.stem for path in (CONF / "model").glob("*.yaml") if path.stem != "custom")


_engines = list[Engine]()


def install(engine: Engine) -> None:
    """Makes `engine` the one of this process."""
    _engines[:] = [engine]


def installed() -> Engine:
    """Returns the engine of this process.

    Raises:
        EmoexpError: the page was not opened by the command.
    """
    if not _engines:
        raise EmoexpError("open this page with: python -m emoexp explore")
    return _engines[0]
