"""The same documents give the same pieces, whatever holds them; every mistake is one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import datasets
import pandas as pd
import pytest

from emoexp.errors import EmoexpError
from emoexp.texts.hub import PRESETS, name_apart, open_sets, open_texts
from emoexp.texts.sources import PIECE, Options, cut_pieces, draw_documents, text_of

DOCUMENTS = ["A first text,\nin two lines.", "A second one: naïve, 東京.", "", "The last."]


def written(folder: Path, kind: str) -> str:
    """Writes the documents in one of the forms, and returns what names them."""
    path = folder / f"texts.{kind}"
    rows = "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in DOCUMENTS)
    if kind == "jsonl":
        path.write_text(rows, encoding="utf-8")
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(rows.encode()))
    elif kind == "parquet":
        pd.DataFrame({"id": 1, "text": DOCUMENTS}).to_parquet(path)
    elif kind == "folder":
        path.mkdir()
        for i, text in enumerate(DOCUMENTS):
            (path / f"{i}.txt").write_text(text, encoding="utf-8")
    elif kind == "separator":
        path = path.with_suffix(".txt")
        path.write_text("\n%\n".join(DOCUMENTS) + "\n%\n", encoding="utf-8")
    elif kind == "hub":
        path.mkdir()
        pd.DataFrame({"text": DOCUMENTS}).to_parquet(path / "train-00000-of-00001.parquet")
        return f"hf:{path}"
    elif kind == "saved":
        datasets.Dataset.from_dict({"text": DOCUMENTS}).save_to_disk(str(path))
        return f"hf:{path}"
    return str(path)


KINDS = ["jsonl", "jsonl.gz", "parquet", "folder", "separator", "hub", "saved"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_gives_the_same_documents(tmp_path: Path, kind: str) -> None:
    texts = open_texts(written(tmp_path, kind), Options(separator="%"))
    pieces = list(texts.pieces(None))
    assert [p.text for p in pieces] == DOCUMENTS
    assert [p.document for p in pieces] == [0, 1, 2, 3]
    assert len({p.name for p in pieces}) == 4
    assert [p.text for p in texts.pieces(2)] == DOCUMENTS[:2]
    assert texts.count(3) == 3 and texts.count() == 4


def test_a_chat_is_written_in_the_plain_format(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": "Noon."},
    ]
    folder = tmp_path / "chats"
    folder.mkdir()
    pd.DataFrame({"conversation_id": ["a"], "conversation": [chat]}).to_parquet(
        folder / "c.parquet"
    )
    for source in (f"hf:{folder}", str(folder / "c.parquet")):
        [piece] = open_texts(source, Options()).pieces(None)
        assert piece.text == "Human: What time is it?\n\nAssistant: Noon."


def test_long_documents_come_in_pieces_and_no_character_is_lost() -> None:
    words = [f"word{i}" for i in range(40_000)]
    text = " ".join(words)
    whole, in_parts = (
        list(cut_pieces([text])),
        list(cut_pieces(text[i : i + 7] for i in range(0, len(text), 7))),
    )
    assert whole == in_parts
    assert len(whole) > 3 and max(map(len, whole)) <= PIECE
    assert " ".join(whole).split() == words
    assert [len(p) for p in cut_pieces(["x" * (PIECE + 5)])] == [PIECE, 5]
    assert list(cut_pieces([" \n "])) == [""]


def test_a_large_file_is_never_read_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("w") as file:
        for _ in range(200):
            file.write("a line of text\n" * 1000)
    pieces = open_texts(str(path), Options()).pieces(None)
    first = next(pieces)
    assert len(first.text) <= PIECE < path.stat().st_size / 40


def test_random_documents_are_drawn_from_the_whole_set_by_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(500)))
    texts = open_texts(str(path), Options())
    first, again, other = (
        [p.text for p in draw_documents(texts, 20, seed).pieces(20)] for seed in (0, 0, 1)
    )
    assert first == again != other
    assert len(set(first)) == 20
    assert max(int(text.split()[1]) for text in first) > 100


def test_names_are_told_apart(tmp_path: Path) -> None:
    source = written(tmp_path, "jsonl")
    sets = name_apart([open_texts(source, Options()) for _ in range(3)])
    assert [s.name for s in sets] == ["texts", "texts (2)", "texts (3)"]
    assert {open_texts(name, Options()).name for name in PRESETS} == {"pile", "lmsys"}


def failing(tmp_path: Path, source: str, options: Options = Options()) -> str:  # noqa: B008
    with pytest.raises(EmoexpError) as error:
        open_sets([source], options, 10, None)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.doc").write_text("x")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "list.jsonl").write_text('["text"]\n')
    (tmp_path / "number.jsonl").write_text('{"text": 3}\n')
    (tmp_path / "half.jsonl").write_text('{"text": "\\ud800"}\n')
    (tmp_path / "other.jsonl").write_text('{"words": "a", "n": 1}\n')
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"text " * 1000)[:-20])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "none").mkdir()
    said = {path.name: failing(tmp_path, str(path)) for path in tmp_path.iterdir()}
    assert "does not exist" in failing(tmp_path, str(tmp_path / "missing.txt"))
    assert "must end in .txt, .md, .jsonl" in said["a.doc"]
    assert "holds no document" in said["empty.jsonl"]
    assert "line 2: not JSON" in said["bad.jsonl"]
    assert "not an object" in said["list.jsonl"]
    assert "of type int" in said["number.jsonl"]
    assert "surrogate" in said["half.jsonl"]
    assert "it has words, n" in said["other.jsonl"] and "experiment.column" in said["other.jsonl"]
    assert "latin.txt: not UTF-8" in said["latin.txt"]
    assert "cannot be read" in said["cut.txt.gz"]
    assert "parquet" in said["broken.parquet"]
    assert "no file that ends in" in said["none"]
    named = Options(column="words")
    assert open_sets([str(tmp_path / "other.jsonl")], named, 10, None)
    assert "no column 'words'" in failing(tmp_path, written(tmp_path, "parquet"), named)


def test_the_hub_without_a_network_is_one_line(tmp_path: Path) -> None:
    said = failing(tmp_path, "pile")
    assert said.startswith("experiment.texts: hf:monology/pile-uncopyrighted (split train)")
    assert "HF_HUB_OFFLINE" in said or "cannot be reached" in said
    assert "neither a folder nor" in failing(tmp_path, "hf:pandas")
    folder = written(tmp_path, "hub")
    assert "split" in failing(tmp_path, folder, Options(split="validation"))
    with pytest.raises(EmoexpError, match="experiment.documents=null"):
        open_sets([folder], Options(), None, None)
    with pytest.raises(EmoexpError, match=r"experiment.texts=\[\]"):
        open_sets([], Options(), 10, None)


def test_null_is_an_empty_document_and_a_turn_needs_role_and_content() -> None:
    assert text_of(None, "here") == ""
    with pytest.raises(EmoexpError, match="without role or content"):
        text_of([{"role": "user"}], "here")
