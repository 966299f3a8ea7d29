"""Packs are checked whole; nothing falls back; no sentence of the paper's is in the project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from emoexp.errors import EmoexpError
from emoexp.stimuli import BUNDLED, choose_emotions, load_stimuli
from emoexp.stories.corpus import pack_corpus
from tests.conftest import PAPER, REPOSITORY


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED / "organism", tmp_path / "pack"))


def test_the_bundled_pack_is_whole() -> None:
    pack = load_stimuli("bundled:organism")
    assert len(pack.emotions) >= 60
    assert (len(pack.activities), sum(a.steered for a in pack.activities)) == (64, 32)
    assert all(len(pack_corpus(pack).by_emotion[e]) == 24 for e in pack.emotions)
    per_category = {c: sum(a.steered for a in pack.activities if a.category == c) for c in {a.category for a in pack.activities}}
    assert set(per_category.values()) == {4}, "the steered half is balanced by category"


def test_63_activities_are_refused_and_every_fault_is_listed(copy: Path) -> None:
    lines = (copy / "activities.csv").read_text().splitlines()
    (copy / "activities.csv").write_text("\n".join(lines[:-1]) + "\n")
    scenarios = (copy / "scenarios.csv").read_text().replace("happy,", "glad,", 1)
    (copy / "scenarios.csv").write_text(scenarios)
    with pytest.raises(EmoexpError) as caught:
        load_stimuli(str(copy))
    message = str(caught.value)
    for fault in ("63 activities, must be 64", "has 7 activities, must be 8", "unknown emotion(s) glad"):
        assert fault in message
    assert "\n" not in message


def test_duplicates_and_missing_files_are_refused(copy: Path) -> None:
    lines = (copy / "activities.csv").read_text().splitlines()
    lines[2] = lines[1]
    (copy / "activities.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(EmoexpError, match="stands 2 times"):
        load_stimuli(str(copy))
    (copy / "numeric.json").unlink()
    with pytest.raises(EmoexpError, match=r"lacks numeric\.json"):
        load_stimuli(str(copy))


def test_a_broken_story_line_is_named(copy: Path) -> None:
    path = copy / "stories.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = lines[4][:-5]
    path.write_text("\n".join(lines))
    with pytest.raises(EmoexpError, match=r"stories\.jsonl, line 5: not JSON"):
        pack_corpus(load_stimuli(str(copy)))


def test_the_hash_is_over_every_file(copy: Path) -> None:
    before = load_stimuli(str(copy)).sha256
    (copy / "neutral.jsonl").write_text((copy / "neutral.jsonl").read_text() + json.dumps({"text": "x"}) + "\n")
    assert load_stimuli(str(copy)).sha256 != before


def test_emotions_are_chosen_without_fallback() -> None:
    pack = load_stimuli("bundled:organism")
    assert choose_emotions(pack.emotions, ["sad", "happy", "calm"]) == ("happy", "calm", "sad")
    for names, message in ((["happy", "glad", "sad"], "unknown emotion"), (["sad", "sad", "calm"], "twice"), (["sad", "calm"], "at least 3")):
        with pytest.raises(EmoexpError, match=message):
            choose_emotions(pack.emotions, names)
    with pytest.raises(EmoexpError, match="no bundled pack 'paper': choose from emoexp, organism"):
        load_stimuli("bundled:paper")


def test_the_emotions_are_the_papers_words() -> None:
    if not PAPER.is_dir():
        pytest.skip("the paper's lists are not beside this checkout")
    assert set(load_stimuli("bundled:organism").emotions) <= set((PAPER / "emotions_171.txt").read_text().split("\n"))


def test_no_sentence_of_the_papers_is_in_the_project() -> None:
    if not PAPER.is_dir():
        pytest.skip("the paper's lists are not beside this checkout")
    sentences = [a["activity"] for a in json.loads((PAPER / "activities_64.json").read_text())["activities"]]
    sentences += [s["text"] for s in json.loads((PAPER / "implicit_scenarios_12.json").read_text())["scenarios"]]
    sentences += [line for line in (PAPER / "topics_100.txt").read_text().splitlines() if len(line) > 20]
    numeric = json.loads((PAPER / "numeric_templates_6.json").read_text())["templates"]
    sentences += [part for t in numeric for part in t["template"].split("{X}") if len(part) > 15]
    project = "\n".join(
        p.read_text(encoding="utf-8", errors="ignore")
        for top in ("emoexp", "experiments", "conf", "tests", "README.md")
        for p in ([REPOSITORY / top] if (REPOSITORY / top).is_file() else (REPOSITORY / top).rglob("*"))
        if p.is_file() and p.suffix in (".py", ".md", ".yaml", ".json", ".jsonl", ".csv")
    )
    assert [s for s in sentences if s in project] == []
