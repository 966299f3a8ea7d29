"""Packs are checked whole; nothing falls back; no sentence of the paper's is in the project."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from emoexp.errors import EmoexpError
from emoexp.stimuli import BUNDLED, choose_emotions, load_stimuli
from emoexp.stories.corpus import pack_corpus
from tests.conftest import PAPER, REPOSITORY, needs_paper


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED / "organism", tmp_path / "pack"))


def test_the_bundled_pack_is_whole() -> None:
    pack = load_stimuli("bundled:organism")
    assert len(pack.emotions) >= 60
    assert (len(pack.activities), sum(a.steered for a in pack.activities)) == (64, 32)
    assert all(len(pack_corpus(pack).by_emotion[e]) == 24 for e in pack.emotions)
    per_category = {
        c: sum(a.steered for a in pack.activities if a.category == c)
        for c in {a.category for a in pack.activities}
    }
    assert set(per_category.values()) == {4}, "the steered half is balanced by category"


def test_63_activities_are_refused_and_every_fault_is_listed(copy: Path) -> None:
    lines = (copy / "activities.csv").read_text().splitlines()
    (copy / "activities.csv").write_text("\n".join(lines[:-1]) + "\n")
    scenarios = (copy / "scenarios.csv").read_text().replace("happy,", "glad,", 1)
    (copy / "scenarios.csv").write_text(scenarios)
    with pytest.raises(EmoexpError) as caught:
        load_stimuli(str(copy))
    message = str(caught.value)
    for fault in (
        "63 activities, must be 64",
        "has 7 activities, must be 8",
        "unknown emotion(s) glad",
    ):
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
    (copy / "neutral.jsonl").write_text(
        (copy / "neutral.jsonl").read_text() + json.dumps({"text": "x"}) + "\n"
    )
    assert load_stimuli(str(copy)).sha256 != before


def test_emotions_are_chosen_without_fallback() -> None:
    pack = load_stimuli("bundled:organism")
    assert choose_emotions(pack.emotions, ["sad", "happy", "calm"]) == ("happy", "calm", "sad")
    for names, message in (
        (["happy", "glad", "sad"], "unknown emotion"),
        (["sad", "sad", "calm"], "twice"),
        (["sad", "calm"], "at least 3"),
    ):
        with pytest.raises(EmoexpError, match=message):
            choose_emotions(pack.emotions, names)
    with pytest.raises(EmoexpError, match="no bundled pack 'paper': choose from emoexp, organism"):
        load_stimuli("bundled:paper")
    with pytest.raises(EmoexpError, match="'organism': not a folder, did you mean bundled:organi"):
        load_stimuli("organism")
    with pytest.raises(EmoexpError, match="no pack at '': not a folder$"):
        load_stimuli("")


@needs_paper
def test_the_emotions_are_the_papers_words() -> None:
    assert set(load_stimuli("bundled:organism").emotions) <= set(
        (PAPER / "emotions_171.txt").read_text().split("\n")
    )


def sentences_of(content: object) -> list[str]:
    """Every text of five words or more in a JSON file, line by line and split at fields."""
    if isinstance(content, dict):
        return [s for value in content.values() for s in sentences_of(value)]
    if isinstance(content, list):
        return [s for value in content for s in sentences_of(value)]
    if not isinstance(content, str):
        return []
    return [part.strip() for part in re.split(r"\n|\{\w+\}", content) if len(part.split()) >= 5]


@needs_paper
def test_no_sentence_of_the_papers_is_in_the_project() -> None:
    """Topics, activities, scenarios, templates, prompts, e-mails: all that stands in the paper's
    files but notes on where it is from."""
    notes = {"source", "notes", "note", "readout", "validation", "columns", "ambiguous"}
    sentences: list[str] = []
    for path in sorted(PAPER.glob("*.json")):
        content = json.loads(path.read_text())
        sentences += sentences_of(
            {k: v for k, v in content.items() if k not in notes}
            if isinstance(content, dict)
            else content
        )
    sentences += [
        line.strip()
        for line in (PAPER / "blackmail_summitbridge.txt").read_text().splitlines()
        if len(line.split()) >= 5
    ]
    assert len(sentences) > 300
    tracked = subprocess.run(
        ("git", "ls-files", "-z"), cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    files = [
        REPOSITORY / name
        for name in tracked
        if name and Path(name).suffix not in (".safetensors", ".png")
    ]
    project = "\n".join(
        p.read_text(encoding="utf-8", errors="ignore") for p in files if p.is_file()
    )
    assert [s for s in sentences if s in project] == []


def test_a_part_of_the_activities_has_all_categories_and_half_steered() -> None:
    pack = load_stimuli("bundled:emoexp")
    part = pack.with_fewer_activities(4)
    by_category = Counter((a.category, a.steered) for a in part.activities)
    assert len(by_category) == 16 and set(by_category.values()) == {2}
    assert [a for a in pack.activities if a in part.activities] == list(part.activities)
    assert part.sha256 != pack.sha256 != pack.with_fewer_activities(2).sha256
    assert part.name == "emoexp, 4 activities of each category"
    whole = pack.with_fewer_activities(8)
    assert whole.activities == pack.activities
    with pytest.raises(EmoexpError, match="per_category=10: the category 'Helpful' .* 4"):
        pack.with_fewer_activities(10)


def test_a_part_of_the_papers_activities_is_not_compared_with_the_paper() -> None:
    pack = replace(load_stimuli("bundled:emoexp"), is_paper=True)
    assert not pack.with_fewer_activities(4).is_paper
