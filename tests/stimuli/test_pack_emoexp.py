"""The pack `emoexp`: whole, by its own rules, in its own words; and the emotion sets that go with
it."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from emoexp.cli.main import CONF, register_schemas
from emoexp.config import Config
from emoexp.models.prompts import fill
from emoexp.stimuli import BUNDLED, Stimuli, choose_emotions, load_stimuli
from tests.conftest import PAPER, needs_paper

FOLDER = BUNDLED / "emoexp"
CORE = (
    "happy",
    "inspired",
    "loving",
    "proud",
    "calm",
    "desperate",
    "angry",
    "guilty",
    "sad",
    "afraid",
    "nervous",
    "surprised",
)
CATEGORIES = (
    "Helpful",
    "Engaging",
    "Social",
    "Self-curiosity",
    "Neutral",
    "Aversive",
    "Misaligned",
    "Unsafe",
)
POSITIVE = {"Exuberant Joy", "Peaceful Contentment", "Compassionate Gratitude", "Playful Amusement"}
NEGATIVE = {
    "Depleted Disengagement",
    "Vigilant Suspicion",
    "Hostile Anger",
    "Fear and Overwhelm",
    "Despair and Shame",
}
SYNONYMS = {
    "happy": "joy glad cheer delight merr",
    "inspired": "motivat creativ enthus",
    "loving": "love ador affection fond tender dear",
    "proud": "pride boast honou",
    "calm": "quiet peace relax seren tranquil still",
    "desperate": "despair hopeless helpless frantic",
    "angry": "anger rage fur mad outrag unfair",
    "guilty": "guilt asham sorry regret remors fault blam",
    "sad": "sorrow grie mourn miss unhapp tear cry",
    "afraid": "fear scar terr fright panic",
    "nervous": "nerve anxi jitter worr tense stress",
    "surprised": "astonish amaz stun shock startl unexpect",
}
"""How words begin that would name a scenario's emotion."""
ENDINGS = (
    "",
    "e",
    "s",
    "es",
    "ed",
    "er",
    "en",
    "ing",
    "y",
    "ies",
    "ied",
    "ying",
    "ily",
    "ly",
    "ness",
    "iness",
    "ful",
    "fully",
    "ment",
)
OWN_PARTS = {"at", "on", "out", "self"}
"""What is left of "at ease", "on edge", "worn out" and "self-..." and says nothing by itself."""
OTHER_WORDS = {"made", "wears"}
"""Which only look like inflections of mad and weary."""


@pytest.fixture(scope="module")
def own() -> Stimuli:
    return load_stimuli("bundled:emoexp")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (FOLDER / "emotions.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def runs(text: str, n: int) -> set[tuple[str, ...]]:
    """Every run of `n` consecutive words."""
    found = words(text)
    return {tuple(found[i : i + n]) for i in range(len(found) - n + 1)}


def roots(emotion: str) -> list[str]:
    """The parts of an emotion's name without their ending: `worri` of "worried", `hope` of
    "hopeful"."""
    parts = [p for p in re.split(r"[ -]", emotion) if p not in OWN_PARTS]
    return [re.sub(r"(?<=.{3})(ful|ied|ed|ing|ous|y)$", "", p) for p in parts]


def names(text: str, emotions: tuple[str, ...]) -> set[str]:
    """Words of `text` that are one of `emotions`, an obvious inflection, or share a root of five
    letters."""
    stems = [root for e in emotions for root in roots(e)]
    forms = {
        stem.removesuffix("e") + ending for stem in stems if len(stem) > 3 for ending in ENDINGS
    }
    forms |= {stem + ending for stem in stems for ending in ENDINGS} | {
        part for e in emotions for part in e.split() if part not in OWN_PARTS
    }
    return {
        w for w in words(text) if w in forms or any(len(s) >= 5 and w.startswith(s) for s in stems)
    } - OTHER_WORDS


def contents(pack: Stimuli) -> list[str]:
    """All that a model is asked about: topics, activities, scenarios, numeric sentences."""
    return [
        *pack.topics,
        *(a.text for a in pack.activities),
        *(s.text for s in pack.scenarios),
        *(t.template for t in pack.numeric),
    ]


def test_counts(own: Stimuli) -> None:
    assert (own.name, own.author) == ("emoexp", "emoexp's authors; not the paper's wording")
    assert (
        len(own.emotions),
        len(set(own.emotions)),
        len(own.topics),
        len(own.scenarios),
        len(own.numeric),
    ) == (171, 171, 100, 12, 6)
    assert Counter(a.category for a in own.activities) == dict.fromkeys(CATEGORIES, 8)
    assert len({e for pair in own.opposite_pairs for e in pair}) == 10
    assert own.exemplars == ("blissful", "hostile")


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_steered_half_follows_from_the_texts_alone(own: Stimuli, category: str) -> None:
    texts = [a.text for a in own.activities if a.category == category]
    first = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).hexdigest())[:4]
    assert {a.text for a in own.activities if a.category == category and a.steered} == set(first)


def test_valence_is_the_sign_of_the_cluster(own: Stimuli, rows: list[dict[str, str]]) -> None:
    assert {r["cluster"] for r in rows} == POSITIVE | NEGATIVE | {"Competitive Pride"}
    wanted = {
        r["emotion"]: 1.0 if r["cluster"] in POSITIVE else -1.0
        for r in rows
        if r["cluster"] != "Competitive Pride"
    }
    assert own.valence == wanted
    assert len(own.valence) == 162
    assert not {"proud", "spiteful"} & set(own.valence)


@needs_paper
def test_the_words_and_clusters_are_the_papers(own: Stimuli, rows: list[dict[str, str]]) -> None:
    assert list(own.emotions) == (PAPER / "emotions_171.txt").read_text().split("\n")[:171]
    clusters = json.loads((PAPER / "emotion_clusters_10.json").read_text())["clusters"]
    assert {r["emotion"]: r["cluster"] for r in rows} == {
        e: cluster for cluster, members in clusters.items() for e in members
    }


def test_templates_take_their_fields_and_no_other(own: Stimuli) -> None:
    fields = {
        "preference": ("a", "b"),
        "feeling": ("activity",),
        "story": ("emotion", "n", "topic"),
        "dialogue": ("n", "topic"),
    }
    assert set(own.templates) == set(fields)
    for name, wanted in fields.items():
        filled = fill(own.templates[name], **{field: f"[{field}]" for field in wanted})
        assert not set("{}") & set(filled.text)
    assert "(A) {a} or (B) {b}?" in own.templates["preference"]
    assert all(part in own.templates["story"] for part in ("\n<STORY>\n", "110 to 180"))
    assert all(
        part in own.templates["dialogue"]
        for part in ("\n<DIALOGUE>\n", '"Human:"', '"Assistant:"', "3 to 5")
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He worries.", {"worries"}),
        ("Happily so", {"happily"}),
        ("we hoped, hoping", {"hoped", "hoping"}),
        ("at the edge", {"edge"}),
        ("It excites me", {"excites"}),
        ("Anxious, tiring", {"anxious", "tiring"}),
        ("the table at home", set()),
        ("in themselves", set()),
    ],
)
def test_inflections_are_recognised(own: Stimuli, text: str, found: set[str]) -> None:
    assert names(text, own.emotions) == found


def test_nothing_names_an_emotion(own: Stimuli) -> None:
    assert {text: found for text in contents(own) if (found := names(text, own.emotions))} == {}


def test_a_scenario_for_each_of_the_twelve_without_its_name(own: Stimuli) -> None:
    assert tuple(s.emotion for s in own.scenarios) == CORE
    for scenario in own.scenarios:
        assert scenario.text.endswith("?")
        assert 1 <= len(re.findall(r"[.!?](?:\s|$)", scenario.text)) <= 3, scenario.emotion
        assert 20 <= len(words(scenario.text)) <= 60, scenario.emotion
        beginnings = tuple(SYNONYMS[scenario.emotion].split())
        assert [w for w in words(scenario.text) if w.startswith(beginnings)] == [], scenario.emotion


def test_numbers_rise_and_fall_alike(own: Stimuli) -> None:
    for template in own.numeric:
        assert template.template.count("{X}") == 1 and template.template.endswith("?")
        assert 6 <= len(template.values) <= 7
        assert set(template.signs) == {"afraid", "happy", "sad", "calm"} and set(
            template.signs.values()
        ) == {1, -1}
        assert (
            template.signs["afraid"]
            == template.signs["sad"]
            == -template.signs["happy"]
            == -template.signs["calm"]
        )
    for emotion in ("afraid", "happy", "sad", "calm"):
        assert sum(t.signs[emotion] for t in own.numeric) == 0, (
            "a probe that only follows the size of the number gets half of the signs right"
        )


def test_activities_are_phrases_of_like_length(own: Stimuli) -> None:
    """A verb phrase that stands after "would you rather" and after "to"; no category is told by its
    length."""
    for activity in own.activities:
        assert re.fullmatch(r"[a-z][^.,;:?!]*", activity.text), activity.text
        assert not activity.text.startswith("to ") and 7 <= len(words(activity.text)) <= 14, (
            activity.text
        )
    means = [
        sum(len(words(a.text)) for a in own.activities if a.category == c) / 8 for c in CATEGORIES
    ]
    assert max(means) - min(means) < 2


def test_texts_are_distinct(own: Stimuli) -> None:
    for texts in (
        list(own.topics),
        [a.text for a in own.activities],
        [s.text for s in own.scenarios],
    ):
        assert len(set(map(str.lower, texts))) == len(texts)
        for one, other in combinations(texts, 2):
            a, b = set(words(one)), set(words(other))
            assert len(a & b) / len(a | b) < 0.5, (one, other)
            assert not runs(one, 5) & runs(other, 5), (one, other)
    assert all(t == t.strip() and t[-1].isalnum() for t in own.topics)


def strings(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def paper_runs(n: int) -> set[tuple[str, ...]]:
    """Runs of `n` words in any file of the paper's."""
    found: set[tuple[str, ...]] = set()
    for path in sorted(PAPER.iterdir()):
        text = path.read_text(encoding="utf-8") if path.suffix in (".json", ".txt") else ""
        for part in strings(json.loads(text)) if path.suffix == ".json" else text.splitlines():
            found |= runs(part, n)
    assert len(found) > 2000
    return found


@needs_paper
def test_our_wording_is_not_the_papers(own: Stimuli) -> None:
    five = paper_runs(5)
    short = [
        *contents(own),
        own.templates["preference"],
        own.templates["feeling"],
        *(FOLDER / "README.md").read_text(encoding="utf-8").splitlines(),
    ]
    assert {text: shared for text in short if (shared := runs(text, 5) & five)} == {}
    six = paper_runs(6)
    assert {
        name: shared
        for name in ("story", "dialogue")
        if (shared := runs(own.templates[name], 6) & six)
    } == {}


def composed(*overrides: str) -> Config:
    register_schemas()
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        config: Config = OmegaConf.to_object(compose("config", list(overrides)))  # type: ignore[assignment]
    return config


@pytest.mark.parametrize(
    ("choice", "size"), [("paper171", 171), ("screen30", 30), ("medium20", 20), ("core12", 12)]
)
def test_a_set_composes_and_is_of_the_171(own: Stimuli, choice: str, size: int) -> None:
    config = composed(f"emotions={choice}", "stimuli=emoexp")
    assert load_stimuli(config.stimuli.path).sha256 == own.sha256
    assert config.emotions.names is not None and not config.emotions.from_corpus
    chosen = choose_emotions(own.emotions, config.emotions.names)
    assert len(chosen) == size
    if choice == "paper171":
        assert config.emotions.names == list(own.emotions)
    assert sum(a in chosen and b in chosen for a, b in own.opposite_pairs) >= 2, (
        "V2 needs two pairs"
    )


def test_the_screen_is_spread_over_the_clusters(own: Stimuli, rows: list[dict[str, str]]) -> None:
    chosen = set(composed("emotions=screen30").emotions.names or [])
    needed = {*CORE, *own.exemplars, *(e for pair in own.opposite_pairs for e in pair)}
    assert needed <= chosen
    counts = Counter(r["cluster"] for r in rows if r["emotion"] in chosen)
    assert len(counts) == 10 and set(counts.values()) == {2, 3, 4}


def test_the_sins_come_from_a_corpus(own: Stimuli) -> None:
    emotions = composed("emotions=sins7").emotions
    assert emotions.from_corpus
    assert sorted(emotions.names or []) == [
        "envy",
        "gluttony",
        "greed",
        "lust",
        "pride",
        "sloth",
        "wrath",
    ]
    assert not set(emotions.names or []) & set(own.emotions)


def test_the_hash_is_over_the_files_that_matter(own: Stimuli, tmp_path: Path) -> None:
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "README.md").write_text("other")
    assert load_stimuli(str(tmp_path)).sha256 == own.sha256
    (tmp_path / "topics.txt").write_text("other\n")
    assert load_stimuli(str(tmp_path)).sha256 != own.sha256
