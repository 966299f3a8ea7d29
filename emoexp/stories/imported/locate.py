"""Bringing in a story corpus that somebody else wrote, whatever its layout, without code on the
user's side.

`stories.path` is a folder, a file, or the id of a Hugging Face dataset. Its layout is told by its
shape:

emoexp, emotion-probes   stories/<emotion>/<any>.json and neutral/<any>.json
ryancodrai, abotresol    expression/stories.parquet with deflection/neutral_dialogues.parquet;
                         data/single_emotion.parquet
gemotions                *.db, *.sqlite, *.sqlite3, in the folder or its data/
tables                   *.jsonl, *.csv, *.tsv, *.parquet (or else *.json), one or many; a
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

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from emoexp.config import StoriesConfig
from emoexp.errors import EmoexpError
from emoexp.stories.corpus import Corpus, Story
from emoexp.stories.imported import hub
from emoexp.stories.imported.formats import (
    SQLITE_SUFFIXES,
    TABLE_SUFFIXES,
    read_blocks,
    read_json_folder,
    read_sqlite,
    read_table,
    read_text_folder,
)
from emoexp.stories.imported.rows import NEUTRAL, ROLES, Reading, visible

MOST_LISTED = 20
LAYOUTS = (
    "stories/<emotion>/*.json, <emotion>/*.txt, <emotion>.txt, gemotions' *.db, and .jsonl, .csv,"
    " .tsv, .json or .parquet tables with columns for emotion and text"
)


@dataclass(frozen=True)
class LocatedCorpus:
    """Where a corpus lies. `author` is what is known without reading it."""

    path: Path
    name: str
    author: str | None = None
    part: str | None = None


def import_corpus(config: StoriesConfig) -> Corpus:
    """The corpus at `stories.path`, its rejects sifted out.

    Raises:
        EmoexpError: one line: nothing there, an unknown layout, malformed rows (all of them, twenty
            listed), no neutral texts, or nobody named as its author.
    """
    if config.path is None:
        raise EmoexpError(
            "stories=corpus needs stories.path=<folder, file, or id of a Hugging Face dataset>"
        )
    if unknown := set(config.columns) - set(ROLES):
        raise EmoexpError(
            f"stories.columns has {', '.join(sorted(unknown))}: it says what {', '.join(ROLES)} are"
            " called, as {text: body}"
        )
    source = locate(config.path, config.revision)
    reading = read(source, config)
    name, neutral = source.name, reading.neutral
    if config.neutral is not None:
        elsewhere = locate(config.neutral, None)
        name, neutral = (
            f"{name}, neutral {elsewhere.name}",
            read(elsewhere, config, all_neutral=True).neutral,
        )
    if not reading.stories:
        raise EmoexpError(
            f"the corpus {source.name} has no stories, only {len(reading.neutral)} neutral texts"
        )
    if not neutral:
        raise EmoexpError(
            f"the corpus {source.name} has no neutral texts: file them under the emotion"
            f" {NEUTRAL!r}, or give them by stories.neutral=<folder, file or id>"
        )
    author = config.author or source.author or " + ".join(sorted(reading.authors))
    if not author:
        raise EmoexpError(
            f"the corpus {source.name} does not say who wrote it, which is part of every result:"
            " give stories.author=<model or people>"
        )
    return _sifted(name, author, reading.stories, neutral)


def _sifted(name: str, author: str, stories: list[Story], neutral: list[str]) -> Corpus:
    """In canonical order, so that what counts as a duplicate does not depend on the layout
    either."""
    from emoexp.stories.reject import sift

    kept, rejected = sift(sorted(stories, key=lambda s: (s.emotion, _digest(s.text), s.topic)))
    if not kept:
        raise EmoexpError(
            f"the corpus {name} has {len(stories)} stories and all are rejected:"
            f" {', '.join(sorted({r.reason for r in rejected}))}"
        )
    return Corpus(
        name=name,
        author=author,
        stories=tuple(kept),
        neutral=tuple(sorted(neutral, key=_digest)),
        rejected=tuple(rejected),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def locate(path: str, revision: str | None) -> LocatedCorpus:
    """A folder or file of this machine, else a repository of the hub, which is fetched."""
    place, part = path, None
    if ":" in path and not Path(path).expanduser().exists():
        place, part = path.rsplit(":", 1)
    local = Path(place).expanduser()
    if local.exists():
        if revision is not None:
            raise EmoexpError(
                f"stories.revision={revision} is for a dataset on the hub; {place} is on this"
                " machine: leave it out"
            )
        return LocatedCorpus(local, path, _written_by(local), part)
    if not hub.is_repo_id(place):
        raise EmoexpError(
            f"{place} does not exist here, and is not the id (owner/name) of a Hugging Face dataset"
        )
    folder, commit = hub.fetch(place, revision)
    known = hub.KNOWN.get(place, hub.HubCorpus())
    return LocatedCorpus(
        folder, f"{place}@{commit}" + (f":{part}" if part else ""), known.author, part
    )


def _written_by(folder: Path) -> str | None:
    """The author of a corpus that emoexp generated (emoexp/stories/generation.py): the server's
    model, or the subject."""
    path = folder / "identity.json"
    if not path.is_file():
        return None
    try:
        identity = json.loads(path.read_text(encoding="utf-8"))
        return str(
            identity["server_model"] if "server_model" in identity else identity["model"]["repo_id"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise EmoexpError(
            f"{path} does not say who wrote the corpus (server_model, or model.repo_id): is it a"
            " corpus of emoexp's?"
        ) from error


def read(source: LocatedCorpus, config: StoriesConfig, *, all_neutral: bool = False) -> Reading:
    """All that stands at `source`.

    Raises:
        EmoexpError: the layout is not known, or rows are malformed.
    """
    reading = Reading(
        root=source.path, columns=config.columns, part=source.part, all_neutral=all_neutral
    )
    (read_file if source.path.is_file() else read_folder)(source.path, reading)
    if reading.faults:
        more = (
            f"; and {len(reading.faults) - MOST_LISTED} more"
            if len(reading.faults) > MOST_LISTED
            else ""
        )
        raise EmoexpError(
            f"the corpus {source.name} has {len(reading.faults)} malformed row(s):"
            f" {'; '.join(reading.faults[:MOST_LISTED])}{more}"
        )
    if source.part is not None and source.part not in reading.sources:
        there = (
            f"its sources are {', '.join(sorted(reading.sources)[:MOST_LISTED])}"
            if reading.sources
            else "it has no column `source`"
        )
        raise EmoexpError(f"no story of {source.name} has the source {source.part!r}: {there}")
    return reading


def read_file(path: Path, reading: Reading) -> None:
    suffix = path.suffix.lower()
    if suffix in (*TABLE_SUFFIXES, ".json"):
        read_table(path, reading)
    elif suffix in SQLITE_SUFFIXES:
        read_sqlite(path, reading)
    elif suffix == ".txt" and reading.all_neutral:
        read_blocks(path, reading)
    else:
        raise EmoexpError(
            f"{path}: a corpus is not one {suffix or 'nameless'} file; known are {LAYOUTS}"
        )


def read_folder(folder: Path, reading: Reading) -> None:
    """The first layout that is there, in the order of the module's docstring."""
    if visible(folder / "stories", "*/*.json"):
        return read_json_folder(folder, reading)
    if (stories := folder / "expression" / "stories.parquet").is_file():
        read_table(stories, reading)
        if (neutral := folder / "deflection" / "neutral_dialogues.parquet").is_file():
            read_table(neutral, reading, neutral=True)
        return None
    if (stories := folder / "data" / "single_emotion.parquet").is_file():
        read_table(stories, reading)
        reading.authors |= reading.sources if reading.part is None else {reading.part}
        return None
    if databases := [
        p
        for pattern in ("*", "data/*")
        for p in visible(folder, pattern)
        if p.suffix.lower() in SQLITE_SUFFIXES
    ]:
        for path in databases:
            read_sqlite(path, reading)
        return None
    files = visible(folder, "**/*")
    suffixes = {p.suffix.lower() for p in files}
    wanted = TABLE_SUFFIXES if suffixes & set(TABLE_SUFFIXES) or ".txt" in suffixes else (".json",)
    tables = [p for p in files if p.suffix.lower() in wanted]
    for path in tables:
        read_table(
            path,
            reading,
            neutral=any(
                part.lower().startswith(NEUTRAL) for part in path.relative_to(folder).parts
            ),
        )
    if not tables:
        read_text_folder(
            folder / "data" if visible(folder / "data", "*/*.txt") else folder, reading
        )
    if not (reading.stories or reading.neutral or reading.faults):
        found = ", ".join(p.relative_to(folder).as_posix() for p in files[:5]) + (
            f" and {len(files) - 5} more" if len(files) > 5 else ""
        )
        raise EmoexpError(
            f"{folder}: no known layout of a corpus; it has {found or 'no files'}; known are"
            f" {LAYOUTS}"
        )
    return None
