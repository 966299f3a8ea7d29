"""Reads human norms that an installed package carries; none of its code is imported or run.

name      package         what people rated
nrc_vad   shifterator     NRC-VAD v1 (Mohammad 2018): valence and arousal of 20,007 words by
                          best-worst scaling
warriner  labMTsimple     Warriner, Kuperman and Brysbaert 2013: valence and arousal of 13,915 words
vader     vaderSentiment  VADER (Hutto and Gilbert 2014): valence of 7,500 words, mean of ten raters
                          on -4 to 4
afinn     afinn           AFINN (Nielsen 2011): valence of 3,382 words by the author alone, whole
                          numbers on -5 to 5

The NRC emotion lexicon (package nrclex) is left out: it says of a word whether it is associated
with positive or negative, which is no rating, and NRC-VAD rates all of its emotion words. So are
scores that a program computed (SenticNet, SentiWordNet).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from emoexp.errors import EmoexpError, require
from emoexp.stimuli.norms import files
from emoexp.stimuli.norms.files import Layout, Rows, layout_of, read_rows
from emoexp.stimuli.norms.lexicon import Lexicon

INSTALL = "pip install 'emoexp[norms]'"


@dataclass(frozen=True)
class Package:
    """Where a package has its norms.

    Attributes:
        name: of the distribution.
        files: within the package, which has the distribution's name: one, or one of valence and one
            of arousal.
        layout: of files without a header; None where a header tells it.
    """

    name: str
    files: list[str]
    layout: Layout | None = None


def _joined(paths: list[Path]) -> Rows:
    """Joins a file of valence and one of arousal, which have one number for each word.

    Raises:
        EmoexpError: the two do not rate the same words once each.
    """
    valence, arousal = (read_rows(path) for path in paths)
    numbers = {row[0]: row[-1] for _, row in arousal}
    words = [row[0] for _, row in valence]
    require(
        len(words) == len(set(words)) == len(arousal) and set(words) == set(numbers),
        f"{paths[0]} and {paths[1].name} do not rate the same words once each: install the package"
        f" again ({INSTALL})",
    )
    return [(line, [*row, numbers[row[0]]]) for line, row in valence]


SCALES = [f"lexicons/NRC-VAD/NRC-VAD_{scale}_English.tsv" for scale in ("valence", "arousal")]
NRC_VAD = Layout("NRC-VAD v1", 0, 1, 2, 0, 1)
VADER = Layout("VADER", 0, 1, None, -4, 4)
AFINN = Layout("AFINN-en-165, rated by its author alone", 0, 1, None, -5, 5)
PACKAGES = {
    "nrc_vad": Package("shifterator", SCALES, NRC_VAD),
    "warriner": Package("labMTsimple", ["data/WK/BRM-emot-submit.csv"]),
    "vader": Package("vaderSentiment", ["vader_lexicon.txt"], VADER),
    "afinn": Package("afinn", ["data/AFINN-en-165.txt"], AFINN),
}
"""Packages by the name that `emotions.norms` has."""


def read_package(name: str) -> Lexicon:
    """Reads all words of the norms `name`.

    Raises:
        EmoexpError: the package is not installed, or lacks the file; a malformed file.
    """
    package = PACKAGES[name]
    try:
        installed = distribution(package.name)
    except PackageNotFoundError as error:
        raise EmoexpError(
            f"emotions.norms={name} needs the package {package.name}: {INSTALL} (a file of that"
            f" name is ./{name})"
        ) from error
    paths = [_path(name, installed, f"{package.name}/{file}") for file in package.files]
    rows, layout = _joined(paths) if len(paths) > 1 else read_rows(paths[0]), package.layout
    if layout is None:
        layout, rows = layout_of(paths[0], rows)
    ratings = files.read_ratings(paths[0], layout, rows)
    origin = f"{package.name} {installed.version}"
    return Lexicon(paths[0], layout.name, origin, ratings, files.sha256_of(paths))


def _path(name: str, installed: Distribution, file: str) -> Path:
    """Returns where a file of an installed package is.

    Raises:
        EmoexpError: this version has no such file.
    """
    path = Path(str(installed.locate_file(file)))
    require(
        path.is_file(),
        f"emotions.norms={name}: {installed.name} {installed.version} has no {file}: {INSTALL}",
    )
    return path
