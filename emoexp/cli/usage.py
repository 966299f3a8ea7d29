"""`emoexp --help`: what can be run, read off the files. It imports neither torch nor
Hydra, so it is there at once."""

from __future__ import annotations

import ast
import shutil
import textwrap
from collections.abc import Sequence

from emoexp.places import CONF, EXPERIMENTS

WIDTH = 98
PAGE = """\
emoexp: does a language model carry emotion concepts as linear directions, and do they drive what
it does?

  emoexp                                             verify the bundled organism
  emoexp experiment=steering model=llama8b layer=21  run one experiment on one model
  emoexp --multirun 'layer=range(10,30)' launcher=slurm              run a sweep
  emoexp experiment=steering --cfg job               print every setting, run nothing
  emoexp explore model=smollm2_135m                  open the explorer (docs/explorer.md)
  emoexp report DIR...                               report runs and sweeps
  emoexp compare RUN RUN...                          similarity of emotion spaces
  emoexp status DIR...                               show the state of a sweep
  emoexp stimuli --help                              check and import packs
  emoexp dashboard --help                            build a W&B workspace
  eval "$(emoexp -sc install=bash)"                  complete settings with the Tab key

`python -m emoexp` is the same command.

Experiments (experiment=...)
{experiments}

Choices (group=option; the first of them is the one that is taken where nothing is said)
{groups}

Any setting is an override: experiment.strength=0.3 layer=0.5 seed=1 scale.random_directions=50
Hydra's own flags: --multirun (-m), --cfg job|hydra|all, --info, --hydra-help
"""


def asked(arguments: Sequence[str]) -> bool:
    """Whether a page of help is wanted."""
    return not {"--help", "-h"}.isdisjoint(arguments)


def page(arguments: Sequence[str]) -> str:
    """Returns the page for a command line: the settings of each group that it names, or all that
    there is to choose from.

    Raises:
        EmoexpError: an override is wrong.
    """
    chosen = [a for a in arguments if "=" in a]
    if not chosen:
        return usage()
    from emoexp.cli.overrides import CommandLine
    from emoexp.cli.schema import described

    given = CommandLine.of(chosen).overrides
    return described([a.partition("=")[::2] for a in given], _width())


def options(group: str) -> list[str]:
    """The options of a group; files in folders below it are parts of others."""
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


def defaults() -> dict[str, str]:
    """Each group's default, from conf/config.yaml in its order."""
    found = {}
    for line in (CONF / "config.yaml").read_text(encoding="utf-8").splitlines():
        name, colon, value = line.partition("#")[0].strip().removeprefix("- ").partition(": ")
        if line.startswith("  - ") and colon and not name.startswith("optional"):
            found[name] = value.strip()
    return found


def summary(experiment: str) -> str:
    """The first sentence of an experiment's file, on one line; that of its conf where it is
    another's with other settings."""
    source = EXPERIMENTS / f"{experiment}.py"
    if not source.exists():
        conf = CONF / "experiment" / f"{experiment}.yaml"
        return conf.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def usage() -> str:
    """The page."""

    def block(names: Sequence[tuple[str, str]]) -> str:
        width = max(len(name) for name, _ in names) + 2
        indents = ((f"  {name:<{width}}", " " * (width + 2), text) for name, text in names)
        return "\n".join(_filled(text, first, then) for first, then, text in indents)

    chosen = {group: default for group, default in defaults().items() if group != "experiment"}
    groups = [
        (group, ", ".join([default, *(o for o in options(group) if o != default)]))
        for group, default in chosen.items()
    ]
    experiments = [(name, summary(name)) for name in options("experiment")]
    page = PAGE.format(experiments=block(experiments), groups=block(groups))
    return "\n".join(_narrowed(line) for line in page.splitlines()) + "\n"


def _width() -> int:
    return min(WIDTH, max(40, shutil.get_terminal_size((WIDTH, 0)).columns))


def _narrowed(line: str) -> str:
    """Returns a line of the page as several, where the terminal or COLUMNS is narrower."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return _filled(line, "", indent)


def _filled(text: str, first: str, then: str) -> str:
    """Returns a text as lines of the page, the first and the others with their indents."""
    wrapper = textwrap.TextWrapper(_width(), first, then, break_on_hyphens=False)
    return wrapper.fill(text)
