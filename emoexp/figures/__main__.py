"""`python -m emoexp.figures`: draws the runs whose directories come in on standard input.

One line is one directory; one line on standard output answers when its figures are drawn.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from emoexp.errors import EmoexpError
from emoexp.figures.draw import draw_run


def main() -> None:
    """Draws until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks decides when to stop
    for line in sys.stdin:
        try:
            failed = draw_run(Path(line.rstrip("\n")))
        except EmoexpError as error:
            failed = [str(error)]
        for text in failed:
            sys.stderr.write(f"emoexp: {text}\n")
        sys.stdout.write("drawn\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
