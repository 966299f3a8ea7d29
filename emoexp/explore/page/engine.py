"""The one model of the page's process, which all open pages share: loaded once in the background,
used by one page at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from emoexp.errors import EmoexpError, one_line
from emoexp.explore.reader import Reader
from emoexp.explore.reading import Reading

POLL_S = 0.3


class Engine:
    """A reader that pages take turns with.

    Attributes:
        overrides: the command line's, for commands that reproduce what is shown.
        doing: what is being loaded, for people; empty once all is loaded.
        error: why it cannot be loaded; empty otherwise.
    """

    def __init__(self, reader: Reader, overrides: Sequence[str]) -> None:
        self.reader = reader
        self.overrides = list(overrides)
        self.doing = "Starting."
        self.error = ""
        self._turn = threading.Lock()

    def start(self) -> None:
        """Begins to load the model and the vectors in the background."""
        threading.Thread(target=self._load, daemon=True).start()

    def _load(self) -> None:
        study, name = self.reader.study, self.reader.study.config.model.name
        steps: list[tuple[str, Callable[[], object]]] = [
            (f"Loading the model {name}.", lambda: study.model),
            ("Reading the stories from which the vectors are computed (progress is in the"
             " terminal; they are stored, so this is done once).", lambda: study.means),
            ("Fitting the emotion vectors of all layers.", lambda: self.reader.vectors),
            ("Reading the pack's scenarios.", lambda: self.reader.reference),
        ]  # fmt: skip
        try:
            for text, step in steps:
                self.doing = text
                step()
        except Exception as error:
            self.error = one_line(error)
        self.doing = ""

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
        """Takes the model for this page, and calls `show` while another page has it."""
        while not self._turn.acquire(timeout=POLL_S):
            show("Another page is using the model: this one waits for it.")
        try:
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
