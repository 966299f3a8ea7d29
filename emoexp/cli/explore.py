"""`python -m emoexp explore [overrides]`: opens the explorer, or prints what it would show.

The page runs on 127.0.0.1 and sends nothing to any other machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import pandas as pd

from emoexp.cli.main import compose_config
from emoexp.config import ReplySpan
from emoexp.errors import EmoexpError, OneLineParser, one_line_errors, require
from emoexp.explore.reader import Reader
from emoexp.explore.reading import READ_OUTS
from emoexp.explore.steering import Dial, Replies, Settings
from emoexp.study.study import Study

USAGE = """\
python -m emoexp explore [model=...] [any override]        open the page
python -m emoexp explore --read=TEXT [overrides]           print a text's cosines as CSV
python -m emoexp explore --steer=TEXT --dials=calm=0.3     print replies as CSV"""


def open_reader(overrides: Sequence[str]) -> Reader:
    """Returns a reader of the model, pack and corpus that overrides name, as `python -m emoexp`
    takes them.

    Raises:
        EmoexpError: an override is wrong, or the explorer cannot use it.
    """
    config = compose_config(overrides)
    require(
        not isinstance(config.layer, list),
        f"layer={config.layer}: the explorer reads all layers and shows one first: give one",
    )
    return Reader(Study(config))


def _parser() -> OneLineParser:
    parser = OneLineParser("python -m emoexp explore", usage=USAGE, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*", help="model=, stimuli=, stories=, scale=, ...")
    page = parser.add_argument_group("page")
    page.add_argument("--port", type=int, default=8501, help="of 127.0.0.1 (default 8501)")
    page.add_argument("--no-browser", action="store_true", help="print the address only")
    read = parser.add_argument_group("read")
    read.add_argument("--read", metavar="TEXT", help="print the cosines of each token")
    read.add_argument("--layer", type=int, help="default: layer= of the overrides")
    read.add_argument("--read-out", choices=READ_OUTS, default="raw")
    read.add_argument("--text-alone", action="store_true", help="not as a user's turn")
    steer = parser.add_argument_group("steer")
    steer.add_argument("--steer", metavar="TEXT", help="print replies, unsteered and steered")
    steer.add_argument("--dials", default="", help="emotion=strength, by commas; up to three")
    steer.add_argument("--layers", help="by commas (default: layer= of the overrides)")
    steer.add_argument("--span", choices=[s.value for s in ReplySpan], default="generated")
    steer.add_argument("--random", action="store_true", help="with a random direction beside it")
    steer.add_argument("--new-tokens", type=int, default=60)
    steer.add_argument("--temperature", type=float, default=1.0)
    steer.add_argument("--top-p", type=float, default=1.0)
    steer.add_argument("--seed", type=int, default=0)
    return parser


def read_table(reader: Reader, given: argparse.Namespace) -> pd.DataFrame:
    """Returns what `--read` prints."""
    layer = reader.study.layer if given.layer is None else given.layer
    reader.study.model.check_layers([layer])
    reading = reader.read(given.read, as_turn=not given.text_alone)
    return reading.token_table(layer, given.read_out)


def steer_table(reader: Reader, given: argparse.Namespace) -> pd.DataFrame:
    """Returns what `--steer` prints."""
    layers = given.layers or str(reader.study.layer)
    settings = Settings(
        question=given.steer,
        dials=_dials(given.dials),
        layers=tuple(_integer(layer) for layer in layers.split(",")),
        span=ReplySpan(given.span),
        random=given.random,
        max_new_tokens=given.new_tokens,
        temperature=given.temperature,
        top_p=given.top_p,
        seed=given.seed,
    )
    emotions = reader.study.emotions
    return pd.concat([reply.table(emotions) for reply in Replies(reader, settings).all()])


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise EmoexpError(f"--layers: {text!r} is not a layer: give numbers, by commas") from None


def _dials(text: str) -> tuple[Dial, ...]:
    dials = []
    for part in filter(None, text.split(",")):
        emotion, _, strength = part.partition("=")
        try:
            dials.append(Dial(emotion.strip(), float(strength)))
        except ValueError:
            raise EmoexpError(f"--dials: {part!r} is not emotion=strength") from None
    return tuple(dials)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table where one is asked for, else opens the page; a mistake is one line and exit
    status 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with one_line_errors():
        given = _parser().parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
        if given.read is not None or given.steer is not None:
            make = read_table if given.read is not None else steer_table
            sys.stdout.write(make(open_reader(given.overrides), given).to_csv(index=False))
        else:
            from emoexp.explore.page.server import serve

            serve(open_reader, given.overrides, given.port, browser=not given.no_browser)
