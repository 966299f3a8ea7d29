"""The command `emoexp`, which is the same as `python -m emoexp`."""

import sys
from difflib import get_close_matches
from importlib import import_module

from emoexp.cli.usage import asked, options, page
from emoexp.errors import one_line_errors

SUBCOMMANDS = {
    "explore": "emoexp.cli.explore",
    "report": "emoexp.report",
    "status": "emoexp.cli.status",
    "compare": "emoexp.compare",
    "stimuli": "emoexp.stimuli.__main__",
    "dashboard": "emoexp.cli.wandb_dashboard",
}
"""The module whose `main` runs each subcommand; everything else is Hydra's."""


def refuse(word: str) -> int:
    """Says that no subcommand is called `word`; returns the exit status."""
    is_experiment = word in options("experiment")
    near = [f"experiment={word}"] if is_experiment else get_close_matches(word, SUBCOMMANDS, n=1)
    sys.stderr.write(
        f"emoexp: there is no command {word!r}{f', did you mean {near[0]}' if near else ''}: choose"
        f" from {', '.join(SUBCOMMANDS)}, or give settings as name=value\n"
    )
    return 2


def main() -> None:
    """Prints the help page, runs a subcommand, or runs an experiment."""
    with one_line_errors():
        command()


def command() -> None:
    """Does what `main` does; its errors are exceptions."""
    first = "".join(sys.argv[1:2])
    if first in SUBCOMMANDS:
        del sys.argv[1]
        sys.exit(import_module(SUBCOMMANDS[first]).main())
    if asked(sys.argv[1:]):
        sys.stdout.write(page(sys.argv[1:]))
        return
    if first.isidentifier():
        sys.exit(refuse(first))
    if sys.argv[1:2] in (["-sc"], ["--shell-completion"]):
        sys.argv[0] = "emoexp"  # what the shell completes, however it was asked
    from emoexp.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
