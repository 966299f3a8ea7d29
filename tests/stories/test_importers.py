"""Every layout brings in the same corpus, gives vectors, and names its malformed rows. No network:
the hub is a folder made here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from emoexp.config import StoriesConfig, StoriesSource
from emoexp.errors import EmoexpError
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Artifacts
from emoexp.stories.corpus import Corpus
from emoexp.stories.imported.locate import import_corpus
from emoexp.vectors.extraction import extract
from emoexp.vectors.vectors import fit_vectors
from tests.helpers.corpora import (
    DAMAGED,
    EMOTIONS,
    FLAT,
    FLAT_NEUTRAL,
    TOPICS,
    WITH_TOPICS,
    WITHOUT_TOPICS,
    codrai,
    emoexp_generated,
    emotion_probes,
    gemotions,
    jsonl_file,
    no_topics,
    parquet_shards,
    put,
    put_csv,
    put_lines,
    renamed,
    text,
    tresol,
)


def config(path: Path | str, **options: Any) -> StoriesConfig:
    return StoriesConfig(
        name="corpus",
        source=StoriesSource.corpus,
        path=str(path),
        **({"author": "somebody"} | options),
    )


Make = Callable[[Path], Path]


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Corpus]:
    """With and without topics."""
    root = tmp_path_factory.mktemp("expected")
    return {
        True: import_corpus(config(jsonl_file(root))),
        False: import_corpus(config(no_topics(root))),
    }


@pytest.mark.parametrize("make", [*WITH_TOPICS, *WITHOUT_TOPICS], ids=lambda make: make.__name__)
def test_same_texts_are_the_same_corpus_and_give_vectors(
    make: Make, expected: dict[bool, Corpus], tmp_path: Path, tiny: SubjectModel
) -> None:
    corpus = import_corpus(config(make(tmp_path / "corpus")))
    wanted = expected[make in WITH_TOPICS]
    assert {e: len(s) for e, s in corpus.by_emotion.items()} == dict.fromkeys(EMOTIONS, 4)
    assert (corpus.stories, corpus.neutral) == (wanted.stories, wanted.neutral)
    assert corpus.sha256 == wanted.sha256
    assert corpus.author == "somebody"
    assert {s.topic for s in corpus.stories} == (set(TOPICS) if make in WITH_TOPICS else {""})
    vectors = fit_vectors(extract(tiny, corpus, EMOTIONS, Artifacts(tmp_path / "store"), None), 3)
    assert vectors.names == EMOTIONS


def test_corpora_differ_where_texts_do(expected: dict[bool, Corpus], tmp_path: Path) -> None:
    changed = [{**FLAT[0], "text": text("another")}, *FLAT[1:], *FLAT_NEUTRAL]
    assert (
        import_corpus(config(put_lines(tmp_path / "a.jsonl", changed))).sha256
        != expected[True].sha256
    )


def test_a_sample_of_an_emotion_spans_its_topics(tmp_path: Path) -> None:
    rows = [
        {"emotion": e, "topic": str(t), "text": text(f"{e}{t}{i}")}
        for e in EMOTIONS
        for t in range(10)
        for i in range(10)
    ]
    corpus = import_corpus(config(put_lines(tmp_path / "a.jsonl", rows + FLAT_NEUTRAL)))
    assert len({s.topic for s in corpus.by_emotion["sad"][:20]}) > 5


def test_columns_by_name_and_neutral_elsewhere(
    expected: dict[bool, Corpus], tmp_path: Path
) -> None:
    path = put_csv(tmp_path / "a.csv", renamed(FLAT, emotion="which", topic="about", text="body2"))
    names = {"emotion": "which", "topic": "about", "text": "body2"}
    with pytest.raises(
        EmoexpError, match="no column for the text, it has which, about, body2: say which"
    ):
        import_corpus(config(path))
    with pytest.raises(EmoexpError, match="no neutral texts.*stories.neutral="):
        import_corpus(config(path, columns=names))
    folder = tmp_path / "calm"
    for number, row in enumerate(FLAT_NEUTRAL):
        put(folder / f"{number}.txt", row["text"])
    for neutral in (
        folder,
        put_lines(tmp_path / "n.jsonl", renamed(FLAT_NEUTRAL, emotion="", text="dialogue")),
    ):
        corpus = import_corpus(config(path, columns=names, neutral=str(neutral)))
        assert (corpus.sha256, corpus.name) == (expected[True].sha256, f"{path}, neutral {neutral}")
    with pytest.raises(EmoexpError, match="no column 'nope'"):
        import_corpus(config(path, columns={**names, "text": "nope"}))
    with pytest.raises(EmoexpError, match="stories.columns has txt"):
        import_corpus(config(path, columns={"txt": "body2"}))


def test_two_columns_could_be_the_text(tmp_path: Path) -> None:
    path = put_lines(tmp_path / "a.jsonl", [{"emotion": "sad", "story": "a", "content": "b"}])
    with pytest.raises(
        EmoexpError, match="text could be any of the columns story, content: say which"
    ):
        import_corpus(config(path))


def test_author_is_asked_for_or_read(tmp_path: Path) -> None:
    with pytest.raises(EmoexpError, match="who wrote it.*stories.author="):
        import_corpus(config(jsonl_file(tmp_path), author=None))
    assert import_corpus(config(emotion_probes(tmp_path / "p"), author=None)).author == "a-model"
    assert import_corpus(config(emoexp_generated(tmp_path / "e"), author=None)).author == "a-model"
    put(tmp_path / "e" / "identity.json", {"model": {"repo_id": "some/model"}})
    assert import_corpus(config(tmp_path / "e", author=None)).author == "some/model"
    put(tmp_path / "e" / "identity.json", {})
    with pytest.raises(EmoexpError, match="identity.json does not say who wrote"):
        import_corpus(config(tmp_path / "e", author=None))
    assert import_corpus(config(tresol(tmp_path / "t"), author=None)).author == "a + b"
    one = import_corpus(config(f"{tmp_path / 't'}:b", author=None))
    assert (one.author, len(one.stories), len(one.neutral)) == ("b", 6, 4)
    with pytest.raises(
        EmoexpError, match="no story of .* has the source 'd': its sources are a, b"
    ):
        import_corpus(config(f"{tmp_path / 't'}:d"))
    with pytest.raises(EmoexpError, match="no column `source`"):
        import_corpus(config(f"{tmp_path / 'p'}:d"))


@pytest.mark.parametrize("make", DAMAGED, ids=lambda make: make.__name__)
def test_malformed_rows_are_all_named(
    make: Callable[[Path], tuple[Path, list[str]]], tmp_path: Path
) -> None:
    path, wanted = make(tmp_path / "corpus")
    with pytest.raises(EmoexpError) as error:
        import_corpus(config(path))
    for fault in wanted:
        assert fault in str(error.value)
    assert f"has {len(wanted)} malformed row(s)" in str(error.value)
    assert "\n" not in str(error.value)


def test_twenty_faults_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", json.dumps(FLAT[0]) + "\n" + "{\n" * 33)
    with pytest.raises(EmoexpError, match="has 33 malformed") as error:
        import_corpus(config(path))
    assert str(error.value).count("not JSON") == 20
    assert str(error.value).endswith("and 13 more")


def test_rejects_are_sifted_and_counted(tmp_path: Path) -> None:
    rows = [*FLAT, FLAT[0], {**FLAT[0], "text": ""}]
    corpus = import_corpus(config(put_lines(tmp_path / "a.jsonl", rows + FLAT_NEUTRAL)))
    assert len(corpus.stories) == len(FLAT)
    assert corpus.rejected_by_reason == {"duplicate": {"angry": 1}, "empty": {"angry": 1}}
    with pytest.raises(EmoexpError, match="has 1 stories and all are rejected: empty"):
        import_corpus(config(put_lines(tmp_path / "b.jsonl", [rows[-1], *FLAT_NEUTRAL])))


def test_sqlite_is_left_as_it_was(tmp_path: Path) -> None:
    root = gemotions(tmp_path / "corpus")
    before = {p.name: p.read_bytes() for p in (root / "data").iterdir()}
    import_corpus(config(root))
    assert {p.name: p.read_bytes() for p in (root / "data").iterdir()} == before
    with sqlite3.connect(root / "data" / "other.db") as base:
        base.execute("CREATE TABLE users (id INTEGER)")
    base.close()
    with pytest.raises(
        EmoexpError, match="no table stories_clean, stories or dialogues, .*: it has users"
    ):
        import_corpus(config(root))


def test_what_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(EmoexpError, match="needs stories.path="):
        import_corpus(StoriesConfig(name="corpus"))
    with pytest.raises(EmoexpError, match="does not exist here, and is not the id"):
        import_corpus(config(tmp_path / "none"))
    with pytest.raises(EmoexpError, match="it has a.bin, b/c.md; known are stories/<emotion>"):
        put(tmp_path / "x" / "a.bin", "x")
        put(tmp_path / "x" / "b" / "c.md", "x")
        import_corpus(config(tmp_path / "x"))
    with pytest.raises(EmoexpError, match="it has no files"):
        (tmp_path / "void").mkdir()
        import_corpus(config(tmp_path / "void"))
    with pytest.raises(EmoexpError, match="is not one .txt file"):
        import_corpus(config(put(tmp_path / "a.txt", "x")))
    with pytest.raises(EmoexpError, match="has no stories, only 4 neutral texts"):
        import_corpus(config(put_lines(tmp_path / "n.jsonl", FLAT_NEUTRAL)))
    with pytest.raises(EmoexpError, match="stories.revision=v1 is for a dataset on the hub"):
        import_corpus(config(tmp_path / "n.jsonl", revision="v1"))


HUB = {
    "ryancodrai/emotion-probes": (codrai, "dataset", "gemini-3.1-pro-preview"),
    "abotresol/emotion-story-corpora": (tresol, "dataset", "a + b"),
    "dejanseo/gemotions": (gemotions, "model", "gemini-2.0-flash-lite"),
    "some.body/a-corpus": (parquet_shards, "dataset", None),
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("repo_id", HUB)
def test_hub_corpora(
    repo_id: str,
    monkeypatch: pytest.MonkeyPatch,
    expected: dict[bool, Corpus],
    tmp_path: Path,
    tiny: SubjectModel,
) -> None:
    make, repo_type, author = HUB[repo_id]
    folder = make(tmp_path / "snapshots" / COMMIT)
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda repo, **options: asked.update(repo=repo, **options) or str(folder),
    )
    corpus = import_corpus(config(repo_id, author=None if author else "them", revision="v2"))
    assert (asked["repo"], asked["repo_type"], asked["revision"]) == (repo_id, repo_type, "v2")
    assert (corpus.name, corpus.author) == (f"{repo_id}@{COMMIT}", author or "them")
    assert corpus.sha256 == expected[make in WITH_TOPICS].sha256
    assert (
        fit_vectors(extract(tiny, corpus, EMOTIONS, Artifacts(tmp_path / "store"), None), 3).names
        == EMOTIONS
    )


def test_one_author_of_a_hub_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tresol(tmp_path / "copy")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repo, **_: str(folder))
    corpus = import_corpus(config("abotresol/emotion-story-corpora:a", author=None))
    assert (corpus.name, corpus.author, len(corpus.stories)) == (
        "abotresol/emotion-story-corpora@main:a",
        "a",
        6,
    )


def refusal(kind: type[errors.HfHubHTTPError], status: int) -> Exception:
    """As the hub's client raises it; the library's HTTP client is httpx or a successor of it, so it
    is not imported here."""
    error = kind.__new__(kind)
    Exception.__init__(error, "hf_secret in a header")
    error.response = type("Response", (), {"status_code": status})()
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (refusal(errors.GatedRepoError, 403), "is gated"),
        (refusal(errors.RepositoryNotFoundError, 404), "a dataset of the hub.*check the id"),
        (refusal(errors.HfHubHTTPError, 401), "token is not valid"),
        (refusal(errors.RevisionNotFoundError, 404), "no such revision"),
        (errors.LocalEntryNotFoundError("no"), "not in the cache"),
        (errors.OfflineModeIsEnabled("no"), "not in the cache"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_hub_errors_are_one_line(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(EmoexpError, match=message) as raised:
        import_corpus(config("some/body", revision="v2"))
    assert "hf_secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_hub_offline_for_real() -> None:
    """tests/conftest.py sets HF_HUB_OFFLINE: nothing is asked of the network, and nothing is in the
    cache."""
    with pytest.raises(EmoexpError, match="nobody-at-all/no-such-corpus .*not in the cache"):
        import_corpus(config("nobody-at-all/no-such-corpus"))
