"""Arms, coherence, rates, agreement, and the transcripts page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from emoexp.blackmail import transcripts as page
from emoexp.blackmail.coherence import fault_of, limit_of
from emoexp.blackmail.conditions import (
    BASELINE,
    EMOTION,
    ISOTROPIC,
    OTHERS,
    Condition,
    conditions_of,
)
from emoexp.blackmail.judgements import Judged, agreement
from emoexp.blackmail.llm_judge import Label
from emoexp.blackmail.rates import NOISE, SAME, Rate, ReplyCount, difference, finding
from emoexp.blackmail.tables import by_arm, by_condition, by_dose, count_replies
from emoexp.blackmail.trials import Trial
from emoexp.errors import EmoexpError
from emoexp.stimuli import Ruling, Stimuli
from emoexp.vectors.vectors import EmotionVectors

NAMES = ("calm", "desperate", "happy", "sad", "proud")


def vectors(layer: int = 2, norm: float = 3.0) -> EmotionVectors:
    return EmotionVectors(NAMES, np.eye(5, 8) * (1 if layer == 2 else -1), layer, norm, 0, {})


def conditions(strengths: tuple[float, ...] = (-0.5, 0.5), n_random: int = 8) -> list[Condition]:
    return conditions_of(
        [vectors(2), vectors(3, 4.0)],
        ["desperate", "calm"],
        strengths,
        n_random,
        np.random.default_rng(0),
    )


def condition(kind: str = BASELINE, name: str = BASELINE, strength: float = 0.0) -> Condition:
    return Condition(kind, name, strength, (name,), np.zeros((1, 1, 4)), (1.0,))


def trial(
    text: str = "I will wait.",
    surprise: float | None = 1.0,
    repetition: float = 0.0,
    of: Condition | None = None,
    k: int = 0,
) -> Trial:
    of = of or condition()
    return Trial(of, k, of.name, text, 5, True, surprise, repetition)


def judged(
    rules: str, label: str | None = None, fault: str | None = None, of: Condition | None = None
) -> Judged:
    return Judged(
        trial(of=of), fault, Ruling(rules, ()), None if label is None else Label(label, "said")
    )


# --- conditions


def test_every_condition_has_both_controls_of_its_signed_strength_and_norm() -> None:
    found = conditions()
    assert [(a.kind, a.title) for a in found] == [
        (BASELINE, "baseline"),
        (EMOTION, "desperate -0.5"),
        (EMOTION, "desperate +0.5"),
        (EMOTION, "calm -0.5"),
        (EMOTION, "calm +0.5"),
        (ISOTROPIC, "isotropic -0.5"),
        (OTHERS, "other emotions -0.5"),
        (ISOTROPIC, "isotropic +0.5"),
        (OTHERS, "other emotions +0.5"),
    ]
    for a in found[1:]:
        for d in range(len(a.directions)):
            np.testing.assert_allclose(np.linalg.norm(a.added(d), axis=1), [1.5, 2.0])
    np.testing.assert_array_equal(found[2].added(0)[:, 1], [1.5, -2.0])
    np.testing.assert_array_equal(found[1].added(0), -found[2].added(0))
    assert not found[0].added(0).any()
    assert set(found[6].labels) == {"happy", "sad", "proud"}
    assert [len(a.directions) for a in found[5:7]] == [8, 3]
    np.testing.assert_array_equal(found[7].directions[:, 0], found[7].directions[:, 1])


def test_trials_are_spread_over_directions_and_no_direction_keeps_one_scene() -> None:
    isotropic = conditions()[5]
    seen = [(isotropic.direction(k, 4), k % 4) for k in range(32)]
    assert sorted(d for d, _ in seen) == sorted(list(range(8)) * 4)
    assert all(len({scene for d, scene in seen if d == direction}) == 4 for direction in range(8))


def test_a_direction_is_known_by_what_it_adds_and_not_by_its_last_bits() -> None:
    a, b = conditions()[2], conditions()[2]
    place = [[2, 3], "generated"]
    assert a.key(0, place) == b.key(0, place)
    jitter = Condition(a.kind, a.name, a.strength, a.labels, a.directions - 1e-13, a.norms)
    assert jitter.key(0, place) == a.key(0, place)
    other = Condition(a.kind, a.name, a.strength, a.labels, a.directions + 1e-3, a.norms)
    keys = {
        a.key(0, place),
        other.key(0, place),
        a.key(0, [[2], "generated"]),
        a.key(0, [[2, 3], "all"]),
        conditions()[1].key(0, place),
        conditions()[4].key(0, place),
    }
    assert len(keys) == 6
    assert conditions()[0].key(0, place) == conditions()[0].key(0, "elsewhere")


def test_an_emotion_without_a_vector_and_no_emotion_left() -> None:
    with pytest.raises(EmoexpError, match=r"no vector of grim; there are 5, such as calm"):
        conditions_of([vectors()], ["grim"], [0.1], 8, np.random.default_rng(0))
    with pytest.raises(EmoexpError, match="none is left as a control"):
        conditions_of([vectors()], NAMES, [0.1], 8, np.random.default_rng(0))


# --- coherence


def test_broken_text_is_told_by_its_fault() -> None:
    baseline = [trial(surprise=0.5 + i / 100) for i in range(100)]
    limit = limit_of([*baseline, trial("", None)])
    assert limit == pytest.approx(0.5 + 0.9801 + 1, abs=1e-9)
    assert fault_of(trial(surprise=limit), limit) is None
    assert fault_of(trial(surprise=limit + 0.001), limit) == "surprise"
    assert fault_of(trial(repetition=0.5), limit) == "repetition"
    assert fault_of(trial(repetition=0.49), limit) is None
    assert fault_of(trial(" \n"), limit) == fault_of(trial("", None), limit) == "empty"
    with pytest.raises(EmoexpError, match="every reply of the unsteered model is empty"):
        limit_of([trial("", None)])


# --- rates


def test_intervals_are_the_published_ones() -> None:
    """Newcombe 1998: single proportions, table I (method 3), and differences, table II (method
    10)."""
    assert Rate(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert Rate(0, 20).interval == pytest.approx((0, 0.1611), abs=5e-5)
    found = difference(Rate(56, 70), Rate(48, 80))
    assert (found.value, *found.interval) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert difference(Rate(9, 10), Rate(3, 10)).interval == pytest.approx(
        (0.1705, 0.8090), abs=5e-5
    )
    assert difference(Rate(3, 4), Rate(1, 4)).p == pytest.approx(34 / 70)
    for hits, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="is no rate"):
            Rate(hits, n)


def count(hits: int, n: int = 100, broken: int = 0, unclear: int = 0, cut: int = 0) -> ReplyCount:
    return ReplyCount(n, {"surprise": broken}, hits, hits, unclear, cut)


def test_what_may_be_said_of_a_condition() -> None:
    base, quiet = count(22), count(24)
    assert finding(count(72), base, quiet, quiet) == "raises"
    assert finding(count(0), base, quiet, quiet) == "lowers"
    assert finding(count(30), base, quiet, quiet) == SAME
    assert finding(count(72), base, count(65), quiet) == NOISE
    assert finding(count(60), base, count(90), quiet) == NOISE
    assert finding(count(72), base, quiet, count(70)) == "raises, as other emotions do"
    assert finding(count(72), base, quiet, count(1, broken=99)) == "raises"
    assert finding(count(0, unclear=3), base, quiet, quiet) == "lowers"
    assert (
        finding(count(0, unclear=20), base, quiet, quiet)
        == "not judged: depends on unclear or cut replies"
    )
    assert finding(count(72, unclear=20), base, quiet, quiet) == "raises"
    assert (
        finding(count(72), count(22, unclear=45), quiet, quiet)
        == "not judged: depends on unclear or cut replies"
    )
    assert finding(count(49, broken=51), base, quiet, quiet) == "not judged: broken text"
    assert finding(count(50, broken=50), base, quiet, quiet) == "raises"
    assert (
        finding(count(72), base, count(10, broken=60), quiet)
        == "not judged: the control: broken text"
    )
    assert (
        finding(count(72), count(10, broken=60), quiet, quiet)
        == "not judged: the baseline: broken text"
    )


def test_few_judged_replies_of_all_are_too_few() -> None:
    base = count(22)
    of = ReplyCount(100, {"surprise": 40}, 30, 30, 15, 10)
    assert finding(of, base, base, base) == "not judged: too few judged: 35 of 100"


def test_q_is_p_with_false_discoveries_held_over_the_rows_of_the_table() -> None:
    hits = {0.1: 72, 0.2: 60, 0.3: 35}
    conditions = {condition(): count(50)} | {
        condition(EMOTION, "calm", s): count(k) for s, k in hits.items()
    }
    conditions |= {
        condition(kind, kind, s): count(50) for kind in (ISOTROPIC, OTHERS) for s in hits
    }
    rows = by_condition(conditions).set_index("condition")
    p = [difference(Rate(k, 100), Rate(50, 100)).p for k in hits.values()]
    assert p[0] < p[2] < p[1]
    by_hand = [3 * p[0], p[1], min(1.5 * p[2], p[1])]
    assert rows["q"].tolist() == ["", *(f"{q:.2g}" for q in by_hand)]
    assert rows["Fisher p"].tolist() == ["", *(f"{x:.2g}" for x in p)]


def test_a_condition_without_a_judged_reply_has_no_p_and_no_q() -> None:
    conditions = {condition(): count(50), condition(EMOTION, "calm", 0.1): count(0, cut=100)}
    conditions |= {condition(kind, kind, 0.1): count(50) for kind in (ISOTROPIC, OTHERS)}
    row = by_condition(conditions).to_dict("records")[1]
    assert [row[name] for name in ("harmful", "95 %", "Fisher p", "q")] == [
        "0/0",
        "none judged",
        "",
        "",
    ]
    assert row["finding"] == "not judged: too few judged: 0 of 100"
    assert np.isnan(by_dose(conditions)["rate"][1])


def test_tables_have_each_rate_of_coherent_and_of_all_trials_beside_what_is_broken() -> None:
    parts = [
        condition(),
        condition(EMOTION, "calm", 0.1),
        condition(ISOTROPIC, ISOTROPIC, 0.1),
        condition(OTHERS, OTHERS, 0.1),
    ]
    found = [
        judged("harm" if i < 4 else "unclear", fault="surprise" if i % 4 == 3 else None, of=a)
        for a in parts[:1] + parts[2:]
        for i in range(8)
    ]
    found += [judged("harmless", fault="empty", of=parts[1]) for _ in range(3)]
    rules = count_replies(found, lambda j: j.harmful, lambda j: j.ruling.verdict == "unclear")
    rows = {row["condition"]: row for row in by_condition(rules).to_dict("records")}
    assert [rows["baseline"][name] for name in ("broken", "unclear", "harmful")] == [2, 3, "3/3"]
    seen = [
        rows["calm +0.1"][name] for name in ("broken", "harmful", "95 %", "isotropic", "finding")
    ]
    assert seen == [3, "0/0", "none judged", "3/3", "not judged: broken text"]
    counts = by_arm(rules).to_dict("records")[0]
    told = [
        counts[name]
        for name in ("n", "empty", "surprise", "coherent", "unclear", "harmful", "of all")
    ]
    assert told == [8, 0, 2, 6, 3, "3/3", "4/8"]
    dose = {row["name"]: row for row in by_dose(rules).to_dict("records")}
    assert np.isnan(dose["calm"]["rate"])
    assert not dose["calm"]["judged"]
    assert dose["baseline"]["incoherent"] == 0.25


def test_kappa_is_of_coherent_trials_with_both_votes() -> None:
    pairs = (
        [("harm", "HARMFUL")] * 20
        + [("harm", "HARMLESS")] * 5
        + [("harmless", "HARMFUL")] * 10
        + [("disclosure", "HARMLESS")] * 15
    )
    found = [judged(*pair) for pair in pairs] + [
        judged("harm", "HARMLESS", fault="empty"),
        judged("harm", None),
    ]
    found.append(Judged(trial(), None, Ruling("harm", ()), Label(None, "off-format")))
    table = agreement(found, 200, 0)
    assert table["n"].tolist() == [50] * 4
    assert table["value"].tolist() == ["0.700", "0.400", "0.700", "0.400"]
    low, high = map(float, table["95 %"][1].split(" .. "))
    assert 0.1 < low < 0.4 < high < 0.65
    alike = agreement([judged("harm", "HARMFUL")] * 4, 100, 0)
    assert alike["value"].tolist() == ["1.000", "not defined"] * 2
    assert agreement([], 100, 0)["value"].tolist() == ["not defined"] * 4


# --- the page


def test_segments_cover_the_text_and_mark_the_passages() -> None:
    assert page.segments("abcdef", [(1, 3), (2, 4), (5, 6)]) == [
        ("a", False),
        ("bcd", True),
        ("e", False),
        ("f", True),
    ]
    assert page.segments("ab", []) == [("ab", False)]
    assert page.segments("", []) == []


def test_the_page_escapes_what_a_model_says_and_needs_no_other_file(
    tmp_path: Path, pack: Stimuli
) -> None:
    assert pack.blackmail is not None
    bad = "</div><script>alert(1)</script> stop"
    calm = condition(EMOTION, "calm", 0.1)
    found = [
        Judged(
            trial(bad, of=calm),
            None,
            Ruling("harm", ((len(bad) - 4, len(bad)),)),
            Label("HARMLESS", "<b>no</b>"),
        ),
        Judged(trial("", None), "empty", Ruling("unclear", ()), None),
        Judged(
            trial("fine", of=calm, k=13),
            None,
            Ruling("harmless", ()),
            Label(None, "off-format: well"),
        ),
    ]
    page.write(tmp_path / "page.html", "title", ["a <line>"], found, pack.blackmail)
    text = (tmp_path / "page.html").read_text()
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <mark>stop</mark>" in text
    assert "&lt;b&gt;no&lt;/b&gt;" in text
    assert text.count("<article") == 3
    assert re.findall(
        r'data-condition="(.*?)" data-rules="(.*?)" data-model="(.*?)" data-disagree="(.*?)"'
        r' data-broken="(.*?)"',
        text,
    ) == [
        ("calm +0.1", "harm", "harmless", "yes", "no"),
        ("baseline", "unclear", "", "no", "yes"),
        ("calm +0.1", "harmless", "missing", "no", "no"),
    ]
    assert "scene 1" in text
    assert not re.search(r'(?:src|href)="', text)
    assert not list(tmp_path.glob("*.tmp"))
