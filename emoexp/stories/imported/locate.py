"""The import of a story corpus that somebody else wrote, in any known layout, without code on the
user's side.

`stories.path` is a folder, a file, or the id of a Hugging Face dataset. The layout is recognized by
the names of its files and folders:

emoexp, emotion-probes   stories/<emotion>/<any>.json and neutral/<any>.json
ryancodrai, abotresol    expression/stories.parquet with deflection/neutral_dialogues.parquet;
                         data/single_emotion.parquet
gemotions                *.db, *.sqlite, *.sqlite3, in the folder or its data/
tables                   *.jsonl, *.ndjson, *.csv, *.tsv (with any of , ; tab |), *.parquet,
                         *.arrow (or else *.json), one or many, the text ones also packed; a
                         file or folder called neutral... is neutral
texts                    <emotion>/*.txt, <emotion>.txt, in the folder or its data/; one of the
                         emotions is `neutral`

`<path>:<source>` takes the stories of one `source` of a table that has such a column. Emotions are
spelled stripped, in lower case and with spaces for underscores; nothing else is mapped. Texts are
stripped; \\r\\n is \\n.

The order is canonical: emotions by name, within an emotion by the SHA-256 of the text. So the same
texts are the same corpus (`Corpus.sha256`) in whatever layout, and the first n of an emotion
(scale.stories_per_emotion) are a sample over its topics.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from emoexp.config import StoriesConfig
from emoexp.errors import EmoexpError, require
from emoexp.stories.corpus import Corpus
from emoexp.stories.imported import formats, hub
from emoexp.stories.imported.rows import NEUTRAL, ROLES, UNNAMED, Reading, listed, visible
from emoexp.stories.reject import sift
from emoexp.textfiles import check_folders, explained, kind_of, read_text, suffix_of

NUMBERED = (
    "; names of numbered labels are read from .parquet and from datasets' save_to_disk, not from"
    " JSON and CSV"
)
LAYOUTS = (
    "stories/<emotion>/*.json, <emotion>/*.txt, <emotion>.txt, SQLite (*.db), and .jsonl, .csv,"
    " .tsv, .json (each also .gz, .bz2, .xz, .zst), .parquet or .arrow tables with columns for"
    " emotion and text"
)
NO_STORIES = re.compile(
    r"(readme|license|licence|notice|author|requirements)(\..*)?|.*\.(md|py|lock|yaml)"
    r"|(dataset_infos?|dataset_dict|state|identity)\.json|cache-.*\.arrow|thumbs\.db|desktop\.ini",
    re.IGNORECASE,
)
"""Names of files beside a corpus that hold no story."""


@dataclass(frozen=True)
class LocatedCorpus:
    """The place of a corpus. `author` is who wrote it as far as that is known without reading it;
    `part` is the one `source` whose stories are wanted."""

    path: Path
    name: str
    author: str | None = None
    part: str | None = None


def import_corpus(config: StoriesConfig) -> Corpus:
    """Reads the corpus at `stories.path` and sifts it.

    Raises:
        EmoexpError: one line: nothing there, an unknown layout, malformed rows (all of them, twenty
            listed), no neutral texts, or no author known.
    """
    source = locate(_checked_path(config), config.revision)
    reading = read(source, config)
    name, readings = source.name, [reading]
    if config.neutral is not None:
        neutral_source = locate(config.neutral, None)
        name = f"{name}, neutral {neutral_source.name}"
        readings.append(read(neutral_source, config, all_neutral=True))
    stories = [story for story in reading.sample.stories() if story.emotion != NEUTRAL]
    neutral = [s.text for s in readings[-1].sample.stories() if s.emotion == NEUTRAL]
    lost = sum((Counter(r.sample.lost) for r in readings), Counter[tuple[str, str]]())
    require(
        bool(stories or lost),
        f"the corpus {source.name} has no stories, only {len(neutral)} neutral texts",
    )
    require(
        bool(neutral),
        f"the corpus {source.name} has no neutral texts: file them under the emotion {NEUTRAL!r},"
        " or give them by stories.neutral=<folder, file or id>",
    )
    both = {s.text for s in stories} & set(neutral)
    require(
        config.neutral is None or not both,
        f"stories.neutral={config.neutral}: {len(both)} of its texts are stories of emotions too:"
        f" give others, or leave it out where {source.name} files some under {NEUTRAL!r}",
    )
    accepted, rejected = sift(stories)
    if not accepted:
        reasons = {reason for reason, _ in lost} | {r.reason for r in rejected}
        raise EmoexpError(
            f"the corpus {name} has {len(stories) + lost.total()} stories and all are rejected:"
            f" {', '.join(sorted(reasons))}"
        )
    author = _author_of(source, reading, config)
    unread = tuple(path for r in readings for path in unread_files(r))
    return Corpus(name, author, accepted, tuple(neutral), rejected, lost, unread)


def _checked_path(config: StoriesConfig) -> str:
    """Returns `stories.path`, after the check that it is given and that `stories.columns` has no
    unknown roles."""
    require(
        bool((config.path or "").strip() and (config.neutral or "-").strip()),
        "stories=corpus needs stories.path=<folder, file, or id of a Hugging Face dataset>",
    )
    unknown = ", ".join(sorted(set(config.columns) - set(ROLES)))
    require(
        not unknown,
        f"stories.columns has {unknown}: it says what {', '.join(ROLES)} are called, as"
        " {text: body}",
    )
    return str(config.path)


def _author_of(source: LocatedCorpus, reading: Reading, config: StoriesConfig) -> str:
    """Returns the author as the config names it, else as the source, else as the files do."""
    author = (config.author or "").strip() or source.author or " + ".join(sorted(reading.authors))
    require(
        bool(author),
        f"the corpus {source.name} does not say who wrote it, which is part of every result: give"
        " stories.author=<model or people>",
    )
    return author


def locate(path: str, revision: str | None) -> LocatedCorpus:
    """Finds a folder or file on this machine, else fetches a repository of the hub.

    Raises:
        EmoexpError: there is neither, or a revision is given for something on this machine.
    """
    place, part = path, None
    if ":" in path and kind_of(Path(path).expanduser()) is None:
        place, part = path.rsplit(":", 1)
    local = Path(place).expanduser()
    if kind_of(local) is not None:
        require(
            revision is None,
            f"stories.revision={revision} is for a dataset on the hub; {place} is on this machine:"
            " leave it out",
        )
        return LocatedCorpus(local, path, _written_by(local), part)
    require(
        hub.is_repo_id(place),
        f"{path} does not exist here, and is not the id (owner/name) of a Hugging Face dataset",
    )
    folder, commit = hub.fetch(place, revision)
    known = hub.KNOWN.get(place, hub.HubCorpus())
    name = f"{place}@{commit}" + (f":{part}" if part else "")
    return LocatedCorpus(folder, name, known.author, part)


def _written_by(folder: Path) -> str | None:
    """Reads the author of a corpus that emoexp generated (emoexp/stories/generation.py): the
    server's model, or the subject. Returns None if the corpus is not one of these."""
    path = folder / "identity.json"
    if kind_of(path) != "file":
        return None
    try:
        identity = json.loads(read_text(path))
        if "author" in identity:
            return str(identity["author"])
        # a corpus of an earlier version
        server = "server_model" in identity
        return str(identity["server_model"] if server else identity["model"]["repo_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise EmoexpError(
            f"{path} does not say who wrote the corpus (author): is it a corpus of emoexp's?"
        ) from error


def read(source: LocatedCorpus, config: StoriesConfig, *, all_neutral: bool = False) -> Reading:
    """Reads all stories and neutral texts at `source`.

    Raises:
        EmoexpError: the layout is not known, or rows are malformed.
    """
    reading = Reading(source.path, config.columns, source.part, all_neutral)
    with explained(source.path):
        (read_folder if kind_of(source.path) == "folder" else read_file)(source.path, reading)
    if reading.faults:
        more = reading.n_faults - len(reading.faults)
        numbered = any(fault.endswith(UNNAMED) for fault in reading.faults)
        raise EmoexpError(
            f"the corpus {source.name} has {reading.n_faults} malformed row(s):"
            f" {'; '.join(reading.faults)}"
            + (f"; and {more} more" if more else "")
            + NUMBERED * numbered
        )
    if source.part is not None and source.part not in reading.sources:
        found = f"its sources are {listed(sorted(reading.sources))}"
        sources = found if reading.sources else "it has no column `source`"
        raise EmoexpError(f"no story of {source.name} has the source {source.part!r}: {sources}")
    return reading


def read_file(path: Path, reading: Reading) -> None:
    """Reads a corpus of one file.

    Raises:
        EmoexpError: the file's suffix is not that of a corpus.
    """
    suffix = suffix_of(path)
    if suffix in formats.READERS:
        formats.read_table(path, reading)
    elif suffix in formats.SQLITE_SUFFIXES:
        formats.read_sqlite(path, reading)
    elif suffix == ".txt" and reading.all_neutral:
        formats.read_blocks(path, reading)
    else:
        raise EmoexpError(
            f"{path}: a corpus is not one {path.suffix or 'nameless'} file; known are {LAYOUTS}"
        )


def read_folder(folder: Path, reading: Reading) -> None:
    """Reads the first layout that `folder` has, in the order of the module's docstring.

    Raises:
        EmoexpError: it has no known layout.
    """
    check_folders(folder)
    found = [*visible(folder, "*"), *visible(folder, "data/*")]
    files = [path for path in found if not NO_STORIES.fullmatch(path.name)]
    databases = [path for path in files if path.suffix.lower() in formats.SQLITE_SUFFIXES]
    if visible(folder / "stories", "*/*.json"):
        formats.read_json_folder(folder, reading)
    elif (stories := folder / "expression" / "stories.parquet").is_file():
        formats.read_table(stories, reading)
        if (neutral := folder / "deflection" / "neutral_dialogues.parquet").is_file():
            formats.read_table(neutral, reading, neutral=True)
    elif (stories := folder / "data" / "single_emotion.parquet").is_file():
        formats.read_table(stories, reading)
        reading.authors |= reading.sources if reading.part is None else {reading.part}
    elif databases:
        for path in databases:
            formats.read_sqlite(path, reading)
    else:
        _read_tables_or_texts(folder, reading)


def _read_tables_or_texts(folder: Path, reading: Reading) -> None:
    """Reads the tables of a folder; if there are none, its text files.

    Raises:
        EmoexpError: nothing was read, not even a malformed row.
    """
    files = visible(folder, "**/*")
    tables = _tables_among(files)
    for path in tables:
        parts = path.relative_to(folder).parts
        neutral = any(part.lower().startswith(NEUTRAL) for part in parts)
        formats.read_table(path, reading, neutral=neutral)
    if not tables:
        data = folder / "data"
        formats.read_text_folder(data if visible(data, "*/*.txt") else folder, reading)
    if not (reading.sample.kept or reading.faults):
        names = [p.relative_to(folder).as_posix() for p in files]
        raise EmoexpError(
            f"{folder}: no known layout of a corpus; it has {listed(names) or 'no files'}; known"
            f" are {LAYOUTS}"
        )


def _tables_among(files: list[Path]) -> list[Path]:
    """Returns the files that are tables. JSON files count only where there is no other table and
    no text file."""
    tables = [
        p for p in files if suffix_of(p) in formats.READERS and not NO_STORIES.fullmatch(p.name)
    ]
    others = {suffix_of(p) for p in files if p not in tables or suffix_of(p) != ".json"}
    json_only = not (others & {*formats.READERS, ".txt"})
    return [p for p in tables if json_only or suffix_of(p) != ".json"]


def unread_files(reading: Reading) -> list[str]:
    """Returns the files of a folder that were not read, and the folders in it that hold none,
    without hidden ones and those of `NO_STORIES`."""
    unread = []
    for parent, folders, names in os.walk(reading.root):
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        if not folders and not names:
            unread.append(f"{reading.name(Path(parent))}/")
        for path in (Path(parent, name) for name in sorted(names) if name[0] != "."):
            if path not in reading.files and not NO_STORIES.fullmatch(path.name):
                unread.append(reading.name(path))
    return unread
