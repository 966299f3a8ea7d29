"""`python -m emoexp.figures`: draws the figures of the runs whose directories it reads.

One line of standard input is one directory; one line is written to standard output once its figures
are drawn.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from emoexp.errors import EmoexpError
from emoexp.figures.draw import draw_run


def main() -> None:
    """Draws the figures of each directory on standard input, until that ends."""
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
