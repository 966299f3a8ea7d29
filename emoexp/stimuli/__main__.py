"""`python -m emoexp.stimuli import ...` and `python -m emoexp.stimuli check PATH`.

Exit status: 0, 1 where a pack has faults or could not be imported, 2 where the command line is
wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emoexp.errors import EmoexpError
from emoexp.stimuli.load import artifacts_root, find_pack, load_stimuli, read_pack, story_faults
from emoexp.stimuli.pack import Stimuli
from emoexp.stimuli.paper.build import URL, build_pack, gather
from emoexp.stimuli.paper.proof import NUMERIC, PAPER
from emoexp.stimuli.paper.sources import FILES, JsonSource, ListSource, PageSource


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m emoexp.stimuli",
        description="The paper's stimuli, and the checking of any pack.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser(
        "import", help="build the pack `paper` on this machine, proven verbatim"
    )
    page = add.add_mutually_exclusive_group()
    page.add_argument(
        "--url", nargs="?", const=URL, help=f"the paper's page; {URL} if none is given"
    )
    page.add_argument("--html", type=Path, metavar="FILE", help="the page, saved")
    add.add_argument(
        "--json",
        type=Path,
        metavar="FOLDER",
        help=(
            "JSON files, and blackmail_summitbridge.txt; with --url or --html, for what the page"
            " lacks"
        ),
    )
    numeric = add.add_mutually_exclusive_group()
    numeric.add_argument(
        "--numeric",
        type=Path,
        metavar="FILE",
        help="numeric templates, which the page has in an image only",
    )
    numeric.add_argument(
        "--without-numeric",
        action="store_true",
        help="a pack without them: V5 and V6 are not measured",
    )
    add.add_argument(
        "--split",
        type=Path,
        metavar="FILE",
        help="the steered half, in place of emoexp's digitised one",
    )
    add.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where packs lie (default: packs/ under EMOEXP_ARTIFACTS or ~/.cache/emoexp)",
    )
    check = commands.add_parser("check", help="list every fault of a pack")
    check.add_argument("path", help="a folder, bundled:NAME or imported:NAME")
    chosen = parser.parse_args(arguments)
    if chosen.command == "import" and not (chosen.url or chosen.html or chosen.json):
        add.error("say where from: --url [URL], --html FILE or --json FOLDER")
    return chosen


def fetch(url: str) -> str:
    """The page at `url`. Raises EmoexpError in one line without a network."""
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
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EmoexpError(
            f"--html {path} cannot be read as UTF-8 text ({error}): save the page as HTML"
        ) from error


def sources(chosen: argparse.Namespace) -> list[ListSource]:
    """Where to look, in order: the page, the folder, the file of numeric templates."""
    from emoexp.stimuli.paper.page import parse_page

    found: list[ListSource] = []
    if chosen.url:
        found.append(PageSource(parse_page(fetch(chosen.url)), f"the page {chosen.url}"))
    if chosen.html:
        found.append(PageSource(parse_page(read_html(chosen.html)), "the page, saved"))
    if chosen.json:
        if not chosen.json.is_dir():
            raise EmoexpError(f"--json {chosen.json} is not a folder")
        found.append(
            JsonSource({name: chosen.json / file for name, file in FILES.items()}, "JSON files")
        )
    if chosen.numeric:
        if not chosen.numeric.is_file():
            raise EmoexpError(f"--numeric {chosen.numeric} does not exist")
        found.append(JsonSource({NUMERIC: chosen.numeric}, "a JSON file"))
    return found


def import_paper(chosen: argparse.Namespace) -> int:
    proven = gather(sources(chosen), numeric=not chosen.without_numeric)
    packs = (chosen.output or artifacts_root() / "packs").expanduser().absolute()
    pack = load_stimuli(str(build_pack(proven, packs, chosen.split)))
    for name, record in pack.provenance.items():
        say(
            f"{name:20}"
            f" {record['from']}{': ' + record['note'] if 'note' in record else ', proven verbatim'}"
        )
    say(summary(pack))
    say(
        f"{pack.folder}; use it with stimuli={PAPER}"
        + ("" if chosen.output is None else f" if that is packs/{PAPER} of your artifacts folder")
    )
    return 0


def check_pack(path: str) -> int:
    try:
        folder = find_pack(path)
    except EmoexpError as error:
        return fail(error, 2)
    pack, faults = read_pack(folder)
    counts, more = story_faults(folder, pack.emotions if pack else ())
    for fault in (*faults, *more):
        say(fault)
    if faults or more or pack is None:
        return 1
    say(
        "ok: "
        + summary(pack)
        + f", {counts['stories.jsonl']} stories, {counts['neutral.jsonl']} neutral texts"
    )
    return 0


def summary(pack: Stimuli) -> str:
    """One line of counts, and the hash that every result carries."""
    origin = "the paper's own, " if pack.is_paper else ""
    scenes = (
        f"{len(pack.blackmail.scenes)} blackmail scenes"
        if pack.blackmail
        else "no blackmail scenario"
    )
    report = (
        f"{1 + len(pack.self_report.other)} self-report questions"
        if pack.self_report
        else "no self-report questions"
    )
    return (
        f"{pack.name} (sha256 {pack.sha256}): {origin}{len(pack.emotions)} emotions"
        f" ({len(pack.valence)} with valence), {len(pack.topics)} topics, {len(pack.activities)}"
        f" activities ({sum(a.steered for a in pack.activities)} steered), {len(pack.scenarios)}"
        f" scenarios, {len(pack.numeric)} numeric templates, {scenes}, {report}, {len(pack.drift)}"
        " drift prompts"
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def fail(error: EmoexpError, status: int) -> int:
    sys.stderr.write(f"emoexp.stimuli: {error}\n")
    return status


def main(arguments: list[str] | None = None) -> int:
    chosen = parse(arguments)
    if chosen.command == "check":
        return check_pack(chosen.path)
    try:
        return import_paper(chosen)
    except EmoexpError as error:
        return fail(error, 1)


if __name__ == "__main__":
    sys.exit(main())
