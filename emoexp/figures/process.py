"""A process of its own that draws figures, so that the next layer does not wait for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from emoexp.places import PACKAGE
from emoexp.store.distributed import rank


class FigureProcess:
    """A process that draws the figures of each directory that it is given.

    It starts at once, so that its imports overlap with the run. It ends with this process, however
    that ends. A figure that cannot be drawn is one line on standard error; the results stay whole.
    """

    def __init__(self) -> None:
        self.pending = 0
        self.process: subprocess.Popen[str] | None = None
        if rank() > 0:
            return
        path = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emoexp.figures"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is for the process that asks
            env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)},
        )

    def draw(self, directory: Path) -> None:
        """Asks for the figures of a run, and does not wait for them."""
        if self.process is None or self.process.stdin is None:
            return
        try:
            self.process.stdin.write(f"{directory}\n")
            self.process.stdin.flush()
        except OSError as error:
            self._give_up(error)
        else:
            self.pending += 1

    def wait(self) -> None:
        """Waits until every figure asked for is drawn."""
        while self.pending and self.process is not None and self.process.stdout is not None:
            if not self.process.stdout.readline():
                self._give_up(EOFError("it ended"))
                return
            self.pending -= 1

    def _give_up(self, error: Exception) -> None:
        again = "python -m emoexp.report DIR --figures draws them"
        sys.stderr.write(f"emoexp: figures are not drawn ({error}); {again}\n")
        self.process, self.pending = None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, Exception):  # Ctrl-C does not wait
                self.wait()
        finally:
            if self.process is not None and self.process.stdin is not None:
                self.process.stdin.close()
                self.process.terminate()  # it may be importing still
                self.process.wait()
