"""Files as people keep them: each is read as the same twelve stories, or refused in one line; what
is lost is counted by emotion and reason. No model."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from emoexp import textfiles
from emoexp.config import StoriesConfig, StoriesSource
from emoexp.errors import EmoexpError
from emoexp.stories.corpus import Corpus
from emoexp.stories.imported import sample
from emoexp.stories.imported.locate import import_corpus
from emoexp.stories.losses import WARNING, loss_notes
from emoexp.stories.reject import count_words, names_emotion
from tests.helpers.corpora import EMOTIONS, FLAT, FLAT_NEUTRAL, text

ROWS = FLAT + FLAT_NEUTRAL


def read(path: Path, **options: Any) -> Corpus:
    given = {"author": "somebody"} | options
    return import_corpus(
        StoriesConfig(name="corpus", source=StoriesSource.corpus, path=str(path), **given)
    )


def jsonl(rows: list[dict[str, Any]] = ROWS) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(delimiter: str = ",", rows: list[dict[str, Any]] = ROWS) -> str:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def zst(content: str) -> bytes:
    packed = pa.compress(content.encode(), codec="zstd", asbytes=True)
    assert isinstance(packed, bytes)
    return packed


def respelled(name: str, *spellings: str) -> bytes:
    """The rows with several spellings of one emotion's name."""
    rows = [
        {
            **row,
            "emotion": spellings[i % len(spellings)] if row["emotion"] == name else row["emotion"],
        }
        for i, row in enumerate(ROWS)
    ]
    return jsonl(rows).encode()


by_emotion = {e: [r["text"] for r in ROWS if r["emotion"] == e] for e in (*EMOTIONS, "neutral")}
columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
SAME: list[tuple[str, bytes]] = [
    ("a.jsonl.gz", gzip.compress(jsonl().encode())),
    ("a.csv.gz", gzip.compress(table().encode())),
    ("a.jsonl.bz2", bz2.compress(jsonl().encode())),
    ("a.tsv.xz", lzma.compress(table("\t").encode())),
    ("a.csv.zst", zst(table(";"))),
    ("a.ndjson", jsonl().encode()),
    ("lines.json", jsonl().encode()),
    ("array.jsonl", json.dumps(ROWS, indent=1).encode()),
    ("mark.csv", table().encode("utf-8-sig")),
    *((f"{code}.csv", table().encode(code)) for code in ("utf-16", "utf-16-le", "utf-16-be")),
    *((f"{code}.jsonl", jsonl().encode(code)) for code in ("utf-16", "utf-32")),
    ("crlf.jsonl", jsonl().replace("\n", "\r\n").encode()),
    *((f"{i}.csv", table(d).encode()) for i, d in enumerate(";\t|")),
    ("excel.csv", ("sep=;\r\n" + table(";")).encode()),
    ("comma.tsv", ("\n" + table()).encode()),
    ("by_emotion.json", json.dumps(by_emotion).encode()),
    ("nested.json", json.dumps({"a": FLAT, "neutral": by_emotion["neutral"]}).encode()),
    ("topics.json", json.dumps({e: {"t": x} for e, x in by_emotion.items()}).encode()),
    ("columns.json", json.dumps(columns).encode()),
    ("pandas.json", json.dumps({k: dict(enumerate(v)) for k, v in columns.items()}).encode()),
    ("case.jsonl", respelled("sad", " Sad ", "SAD", "sad\u200b", "\ufeffsad", "sad\n")),
    ("blanks.jsonl", respelled("at ease", "at_ease", "At  Ease", "at\u00a0ease")),
]


@pytest.mark.parametrize(("name", "content"), SAME, ids=[name for name, _ in SAME])
def test_the_same_stories_in_any_file(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    corpus = read(tmp_path / name)
    assert sorted((s.emotion, s.text) for s in corpus.stories) == sorted(
        (row["emotion"], row["text"]) for row in FLAT
    )
    assert sorted(corpus.neutral) == sorted(by_emotion["neutral"])


def test_two_unicode_forms_are_one_emotion(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(respelled("sad", "g\u00ean\u00e9", "ge\u0302ne\u0301"))
    assert list(read(tmp_path / "a.jsonl").by_emotion) == ["angry", "at ease", "g\u00ean\u00e9"]


def database(*statements: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with sqlite3.connect(folder / "a.db") as base:
            for statement in statements:
                base.execute(statement)
            name = statements[0].split()[2].split("(")[0]
            values = [(r["emotion"], r["topic"], r["text"]) for r in ROWS]
            base.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", values)
        base.close()
        return folder / "a.db"

    return make


FIELDS = "(emotion TEXT, topic TEXT, text TEXT PRIMARY KEY)"


@pytest.mark.parametrize(
    "make",
    [
        database(f"CREATE TABLE stories{FIELDS} WITHOUT ROWID"),
        database(f"CREATE TABLE kept{FIELDS}", "CREATE VIEW stories AS SELECT * FROM kept"),
        database(f"CREATE TABLE corpus{FIELDS}", "CREATE TABLE users (id INTEGER)"),
        database(f"CREATE TABLE Stories{FIELDS}"),
    ],
)
def test_any_table_of_a_database(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    assert len(read(make(tmp_path)).stories) == len(FLAT)


def test_labels_have_the_names_that_datasets_wrote(tmp_path: Path) -> None:
    names = ["sad", "neutral", "at ease", "angry"]
    numbers = pa.Table.from_pylist([{**r, "emotion": names.index(r["emotion"])} for r in ROWS])
    features = {"emotion": {"names": names, "_type": "ClassLabel"}, "text": {"_type": "Value"}}
    labelled = numbers.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    parquet.write_table(labelled, tmp_path / "a.parquet")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "state.json").write_text('{"_split": null}')
    (saved / "dataset_info.json").write_text("{}")
    with ipc.new_stream(str(saved / "data-00000-of-00001.arrow"), labelled.schema) as stream:
        stream.write_table(labelled)
    for path in (tmp_path / "a.parquet", saved):
        assert {e: len(s) for e, s in read(path).by_emotion.items()} == dict.fromkeys(EMOTIONS, 4)
    parquet.write_table(numbers, tmp_path / "b.parquet")
    with pytest.raises(EmoexpError, match=r"row 1: the emotion is 3, .*save_to_disk"):
        read(tmp_path / "b.parquet")


WRONG: list[tuple[str, bytes, str]] = [
    ("a.jsonl.gz", gzip.compress(jsonl().encode())[:-40], "a.jsonl.gz: cannot be read"),
    ("a.csv.gz", b"emotion,text\n", "a.csv.gz: cannot be read"),
    ("a.csv.zst", b"emotion,text\n", "a.csv.zst: cannot be read"),
    ("a.parquet.gz", b"", "unpack it"),
    ("a.csv", "emotion,text\nsad,caf\u00e9\n".encode("cp1252"), r"not UTF-8 \(byte 0xe9; Latin-1"),
    ("a.json", b"[" * 100_000, "not JSON .nested too deeply"),
    ("a.jsonl", b'{"emotion": ' + b"9" * 5000 + b"}\n", "too many digits"),
    ("a.csv", b"emotion,text\n1,once upon\n", "the emotion is '1', not its name.*save_to_disk"),
    ("a.csv", b"emotion,Emotion,text\nsad,sad,x\n", "could be any of the columns emotion, Emotion"),
    ("a.csv", b"emotion;text\n" + b"s" * 500 + b";x\n", "the emotion has 500 characters"),
    ("a.csv", b'emotion,text\nsad,"x\n', "after line 1: not to be read"),
    ("a.csv", b"sad," + b"x" * 500 + b"\n", "its first line must name the columns"),
    ("sad.jsonl", b'{"text": "x"}\n', r"no column for the emotion, .* as <emotion>\.txt or"),
    ("a.jsonl", b"", "no stories"),
]


@pytest.mark.parametrize(("name", "content", "line"), WRONG)
def test_wrong_files_are_one_line(tmp_path: Path, name: str, content: bytes, line: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EmoexpError, match=line) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_lines_and_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("a.jsonl", jsonl()), ("a.csv", table()), ("a.json", json.dumps(ROWS))):
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(textfiles, "LONGEST", 100)
    for name in ("a.jsonl", "a.csv"):
        with pytest.raises(EmoexpError, match=r"line \d has more than 100 characters"):
            read(tmp_path / name)
    assert len(read(tmp_path / "a.json").stories) == len(FLAT)
    monkeypatch.setattr(textfiles, "LARGEST", 1000)
    with pytest.raises(EmoexpError, match="more than 1,000 characters: give it as .jsonl"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", "stories=corpus needs stories.path"),
        ("x" * 5000, r"x\.\.\.: cannot be read \(File name too long\)"),
        ("https://there/it/is", "https://there/it/is does not exist here"),
    ],
)
def test_wrong_paths_are_one_line(path: str, line: str) -> None:
    with pytest.raises(EmoexpError, match=line):
        import_corpus(StoriesConfig(name="corpus", source=StoriesSource.corpus, path=path))


def test_a_pipe_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    """Nobody writes into it, so that reading it would wait for ever."""
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(EmoexpError, match=r"a\.jsonl: a pipe or a device, not a file"):
        read(tmp_path / "a.jsonl")


def test_stories_are_not_neutral_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl())
    with pytest.raises(EmoexpError, match="12 of its texts are stories of emotions too: give oth"):
        read(tmp_path / "a.jsonl", neutral=str(tmp_path / "a.jsonl"))


def by_folder(root: Path) -> Path:
    for i, row in enumerate(ROWS):
        path = root / row["emotion"] / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(row["text"])
    return root


def test_what_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An emotion's folder that may not be listed is not left out."""
    root = by_folder(tmp_path / "c")

    def scandir(path: str, real: Any = os.scandir) -> Any:
        if str(path).endswith("sad"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(EmoexpError, match="c/sad: no permission to read it"):
        read(root)


def test_files_that_are_not_read_are_named(tmp_path: Path) -> None:
    root = by_folder(tmp_path / "c")
    (root / "calm").mkdir()
    (root / "proud").mkdir()
    (root / "proud" / "1.docx").write_text("x")
    for name in ("README.md", "Thumbs.db", "desktop.ini"):  # the last two are of Windows
        (root / name).write_text("x")
    corpus = read(root)
    assert corpus.unread == ("calm/", "proud/1.docx")
    notes = loss_notes(corpus.summary())
    assert notes == ["not read beside the stories: calm/, proud/1.docx"]


def test_losses_are_counted_by_emotion_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emotion of which nothing is left stands in the warning, and so does one that the model
    reads too few stories of."""
    monkeypatch.setattr(sample, "MOST_CHARACTERS", 10_000)
    first = FLAT[0]
    more = [
        first,
        first,
        {**first, "text": " "},
        {**first, "text": "x" * 10_001},
        {"emotion": "proud", "text": text("p") + " He was proud."},
    ]
    (tmp_path / "a.jsonl").write_text(jsonl([*ROWS, *more]))
    entry = read(tmp_path / "a.jsonl").summary()
    assert entry["rejected"] == {
        "duplicate": {"angry": 2},
        "empty": {"angry": 1},
        "huge": {"angry": 1},
        "names_emotion": {"proud": 1},
    }
    notes = loss_notes(entry)
    assert notes[0] == f"{WARNING}fewer than half of the stories are used: proud 0%"
    assert "2 texts left out, the same as another: 2 of angry" in notes
    used = {"stories_by_emotion": {"angry": 3, "sad": 1}, "dropped": {"long": {"sad": 3}}}
    notes = loss_notes(entry | {"used": used})
    assert notes[0].endswith("used: proud 0%, sad 25%")
    assert "3 texts left out, longer than the model's positions: 3 of sad" in notes


def test_a_huge_corpus_is_a_sample_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same texts are kept in any order: those of the lowest hashes."""
    monkeypatch.setattr(sample, "MOST", 3)
    rows = [{"emotion": "sad", "text": text(str(i))} for i in range(40)] + FLAT_NEUTRAL
    kept = []
    for order in (rows, rows[::-1]):
        (tmp_path / "a.jsonl").write_text(jsonl(order))
        corpus = read(tmp_path / "a.jsonl")
        kept.append([story.text for story in corpus.stories])
        assert corpus.rejected_by_reason == {"beyond": {"neutral": 1, "sad": 37}}
    assert kept[0] == kept[1] and len(kept[0]) == 3
    monkeypatch.setattr(sample, "MOST_EMOTIONS", 2)
    (tmp_path / "a.jsonl").write_text(jsonl())
    with pytest.raises(EmoexpError, match="more than 2 emotions, such as .*: say which column"):
        read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("story", "emotion", "named"),
    [
        ("\u5979\u611f\u5230\u60b2\u4f24\uff0c\u8d70\u4e86", "\u60b2\u4f24", True),
        ("\u5979\u8d70\u4e86", "\u60b2\u4f24", False),
        (
            "\u0e40\u0e02\u0e32\u0e40\u0e28\u0e23\u0e49\u0e32",
            "\u0e40\u0e28\u0e23\u0e49\u0e32",
            True,
        ),
        ("\uadf8\ub294 \uc2ac\ud514\uc744", "\uc2ac\ud514", True),
        ("he was ge\u0302ne\u0301", "g\u00ean\u00e9", True),
        ("unhappily", "happy", False),
    ],
)
def test_names_in_scripts_without_spaces(story: str, emotion: str, named: bool) -> None:
    assert names_emotion(story, emotion) is named


def test_words_of_scripts_without_spaces_are_counted() -> None:
    assert count_words("one two") == 2
    assert count_words("\u5979\u8d70\u4e86") == 3
