"""Human norms of valence and arousal: of a package that is installed, or of a user's file.

Norms are ratings by people; nothing is estimated by a formula, and what a source does not have is
left out.
"""

from __future__ import annotations

from pathlib import Path

from emoexp.errors import EmoexpError
from emoexp.stimuli.norms.files import read_file
from emoexp.stimuli.norms.lexicon import Lexicon, Norms
from emoexp.stimuli.norms.packages import PACKAGES, read_package
from emoexp.stimuli.norms.signs import sign_note, sign_table
from emoexp.textfiles import kind_of

__all__ = ["PACKAGES", "Lexicon", "Norms", "read_lexicon", "sign_note", "sign_table"]


def read_lexicon(source: str | Path) -> Lexicon:
    """Reads all words of a source of norms.

    Args:
        source: a name of `PACKAGES`, else the path of a file. A file that is called like a package
            is read as `./vader`.

    Raises:
        EmoexpError: the package is not installed or lacks the file; no such file; a layout that is
            not known; values that are no numbers or off the scale.
    """
    if isinstance(source, str) and source in PACKAGES:
        return read_package(source)
    if not str(source).strip() or kind_of(path := Path(source).expanduser()) is None:
        raise EmoexpError(
            f"emotions.norms={source} cannot be read: there is no such file, and the norms of"
            f" packages are {', '.join(PACKAGES)}"
        )
    return read_file(path)
