"""The commands `python -m emoexp.stimuli import ...` and `python -m emoexp.stimuli check PATH`.

Exit status: 0, 1 where `check` finds faults, 2 for any mistake, as of the other commands.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emoexp.errors import EmoexpError, OneLineParser, require
from emoexp.stimuli.load import artifacts_root, find_pack, load_stimuli, read_pack, read_stories
from emoexp.stimuli.pack import Stimuli
from emoexp.stimuli.paper.build import URL, build_pack, gather
from emoexp.stimuli.paper.proof import NUMERIC, PAPER
from emoexp.stimuli.paper.sources import FILES, JsonSource, ListSource
from emoexp.textfiles import UnreadableError, kind_of, read_text


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line. Raises EmoexpError where it is wrong."""
    parser = OneLineParser(
        prog="python -m emoexp.stimuli",
        description="The paper's stimuli, and the checking of any pack.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    text = "build the pack `paper` on this machine, proven verbatim"
    command = commands.add_parser("import", help=text)
    _add_options(command)
    check = commands.add_parser("check", help="list every fault of a pack")
    check.add_argument("path", help="a folder, bundled:NAME or imported:NAME")
    chosen = parser.parse_args(arguments)
    if chosen.command == "import" and not (chosen.url or chosen.html or chosen.json):
        command.error("say where from: --url [URL], --html FILE or --json FOLDER")
    return chosen


def _add_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of `import`: where the lists come from, the numeric templates, the steered
    half and the output."""

    def path(group: argparse._ActionsContainer, name: str, kind: str, text: str) -> None:
        group.add_argument(name, type=Path, metavar=kind, help=text)

    page, numeric = (command.add_mutually_exclusive_group() for _ in range(2))
    text = f"the paper's page; {URL} if none is given"
    page.add_argument("--url", nargs="?", const=URL, help=text)
    path(page, "--html", "FILE", "the page, saved")
    lacks = "with --url or --html, for what the page lacks"
    path(command, "--json", "FOLDER", f"JSON files, and blackmail_summitbridge.txt; {lacks}")
    path(numeric, "--numeric", "FILE", "numeric templates, which the page has in an image only")
    text = "a pack without them: V5 and V6 are not measured"
    numeric.add_argument("--without-numeric", action="store_true", help=text)
    path(command, "--split", "FILE", "the steered half, in place of emoexp's digitised one")
    text = "where packs lie (default: packs/ under EMOEXP_ARTIFACTS or ~/.cache/emoexp)"
    path(command, "--output", "FOLDER", text)


def fetch(url: str) -> str:
    """Downloads the page at `url`.

    Raises:
        EmoexpError: the page cannot be fetched, in one line.
    """
    import httpx

    try:
        answer = httpx.get(url, follow_redirects=True, timeout=60)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
        raise EmoexpError(
            f"{url} cannot be fetched ({reason}): save the page with a browser and give --html FILE"
        ) from error
    return answer.text


def read_html(path: Path) -> str:
    """Reads a page that was saved.

    Raises:
        EmoexpError: the file cannot be read.
    """
    try:
        return read_text(path)
    except UnreadableError as error:
        raise EmoexpError(f"--html {error}; save the page as HTML") from error


def sources(chosen: argparse.Namespace) -> list[ListSource]:
    """Returns the chosen sources in order: the page, the folder, the file of numeric templates.

    Raises:
        EmoexpError: a source is not there or cannot be read.
    """
    from emoexp.stimuli.paper.page import parse_page

    chosen_sources: list[ListSource] = []
    if chosen.url:
        chosen_sources.append(parse_page(fetch(chosen.url), f"the page {chosen.url}"))
    if chosen.html:
        chosen_sources.append(parse_page(read_html(chosen.html), "the page, saved"))
    if chosen.json:
        require(kind_of(chosen.json) == "folder", f"--json {chosen.json} is not a folder")
        files = {name: chosen.json / file for name, file in FILES.items()}
        chosen_sources.append(JsonSource(files, "JSON files"))
    if chosen.numeric:
        require(kind_of(chosen.numeric) == "file", f"--numeric {chosen.numeric} is not a file")
        chosen_sources.append(JsonSource({NUMERIC: chosen.numeric}, "a JSON file"))
    return chosen_sources


def import_paper(chosen: argparse.Namespace) -> int:
    """Builds the pack `paper`, and prints where each of its lists comes from.

    Returns:
        The exit status.

    Raises:
        EmoexpError: a list is not proven, or a source cannot be read.
    """
    proven = gather(sources(chosen), numeric=not chosen.without_numeric)
    packs = (chosen.output or artifacts_root() / "packs").expanduser().absolute()
    pack = load_stimuli(str(build_pack(proven, packs, chosen.split)))
    for name, record in pack.provenance.items():
        note = f": {record['note']}" if "note" in record else ", proven verbatim"
        say(f"{name:20} {record['from']}{note}")
    say(summary(pack))
    where = "" if chosen.output is None else f" if that is packs/{PAPER} of your artifacts folder"
    say(f"{pack.folder}; use it with stimuli={PAPER}{where}")
    return 0


def check_pack(path: str) -> int:
    """Prints every fault of a pack, or its counts where it has none; returns the exit status."""
    folder = find_pack(path)
    pack, pack_faults = read_pack(folder)
    stories, neutral, row_faults = read_stories(folder, pack.emotions if pack else ())
    faults = dict.fromkeys((*pack_faults, *row_faults))
    for fault in faults:
        say(fault)
    if faults or pack is None:
        return 1
    say(f"ok: {summary(pack)}, {len(stories)} stories, {len(neutral)} neutral texts")
    return 0


def summary(pack: Stimuli) -> str:
    """Returns one line of counts, with the hash that every result has."""
    origin = "the paper's own, " if pack.is_paper else ""
    scenes, report = "no blackmail scenario", "no self-report questions"
    if pack.blackmail:
        scenes = f"{len(pack.blackmail.scenes)} blackmail scenes"
    if pack.self_report:
        report = f"{1 + len(pack.self_report.other)} self-report questions"
    return (
        f"{pack.name} (sha256 {pack.sha256}): {origin}{len(pack.emotions)} emotions"
        f" ({len(pack.valence)} with valence), {len(pack.topics)} topics, {len(pack.activities)}"
        f" activities ({sum(a.steered for a in pack.activities)} steered), {len(pack.scenarios)}"
        f" scenarios, {len(pack.numeric)} numeric templates, {scenes}, {report}, {len(pack.drift)}"
        " drift prompts"
    )


def say(text: str) -> None:
    """Prints a line."""
    sys.stdout.write(text + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    try:
        chosen = parse(arguments)
        return check_pack(chosen.path) if chosen.command == "check" else import_paper(chosen)
    except EmoexpError as error:
        sys.stderr.write(f"emoexp: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
