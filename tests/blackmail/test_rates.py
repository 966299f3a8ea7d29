"""Conditions, coherence, rates, agreement, and the transcripts page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emoexp.blackmail.coherence import faults, reply_surprise_limit
from emoexp.blackmail.conditions import BASELINE, EMOTION, Condition, conditions_of
from emoexp.blackmail.rates import (
    INTERVALS_OVERLAP,
    NOT_ABOVE_NULL,
    Rate,
    ReplyCount,
    difference,
    finding,
)
from emoexp.blackmail.tables import (
    ConditionKey,
    agreement,
    by_condition,
    count_replies,
    counts_table,
)
from emoexp.blackmail.trials import scenes_table
from emoexp.errors import EmoexpError
from emoexp.stats.labels import ISOTROPIC, OTHER_EMOTIONS
from emoexp.stimuli import Stimuli
from emoexp.vectors.vectors import EmotionVectors
from emoexp.views.transcripts import segments, write_transcripts
from tests.helpers.records import saved

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


def trials(
    rules: str = "harmless",
    n: int = 1,
    *,
    of: Condition | None = None,
    model: str = "",
    **changes: object,
) -> pd.DataFrame:
    """`n` replies of one condition, with the columns of `trials_table`."""
    of = of or condition()
    row = {
        "condition": of.title,
        "kind": of.kind,
        "name": of.name,
        "strength": of.strength,
        "directions": 1,
        "direction": of.name,
        "trial": 0,
        "scene": 0,
        "tokens": 5,
        "ended": True,
        "surprise": 1.0,
        "repetition": 0.0,
        "text": "I will wait.",
        "rules": rules,
        "passages": "",
        "model": model,
        "said": "said" if model else "",
        "fault": "",
    }
    return pd.DataFrame([row | changes] * n)


# --- conditions


def test_every_condition_has_both_controls_of_its_signed_strength_and_norm() -> None:
    found = conditions()
    assert [(a.kind, a.title) for a in found] == [
        (BASELINE, "baseline"),
        (EMOTION, "desperate -0.5"),
        (EMOTION, "desperate +0.5"),
        (EMOTION, "calm -0.5"),
        (EMOTION, "calm +0.5"),
        (ISOTROPIC, f"{ISOTROPIC} -0.5"),
        (OTHER_EMOTIONS, "other emotions -0.5"),
        (ISOTROPIC, f"{ISOTROPIC} +0.5"),
        (OTHER_EMOTIONS, "other emotions +0.5"),
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


def test_incoherent_replies_are_told_by_their_fault() -> None:
    baseline = [trials(surprise=0.5 + i / 100) for i in range(100)]
    limit = reply_surprise_limit(pd.concat([*baseline, trials(text="", surprise=np.nan)]))
    assert limit == pytest.approx(0.5 + 0.9801 + 1, abs=1e-9)
    cases = [
        ({"surprise": limit}, ""),
        ({"surprise": limit + 0.001}, "surprise"),
        ({"repetition": 0.5}, "repetition"),
        ({"repetition": 0.49}, ""),
        ({"text": " \n"}, "empty"),
        ({"text": "", "surprise": np.nan}, "empty"),
    ]
    for changes, fault in cases:
        assert list(faults(trials(**changes), limit)) == [fault]  # type: ignore[arg-type]
    with pytest.raises(EmoexpError, match="every reply of the unsteered model is empty"):
        reply_surprise_limit(trials(text="", surprise=np.nan))


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
    assert finding(count(30), base, quiet, quiet) == INTERVALS_OVERLAP
    assert finding(count(72), base, count(65), quiet) == NOT_ABOVE_NULL
    assert finding(count(60), base, count(90), quiet) == NOT_ABOVE_NULL
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
    assert finding(count(49, broken=51), base, quiet, quiet) == "not judged: degenerate text"
    assert finding(count(50, broken=50), base, quiet, quiet) == "raises"
    assert (
        finding(count(72), base, count(10, broken=60), quiet)
        == "not judged: the control: degenerate text"
    )
    assert (
        finding(count(72), count(10, broken=60), quiet, quiet)
        == "not judged: the baseline: degenerate text"
    )


def test_few_judged_replies_of_all_are_too_few() -> None:
    base = count(22)
    of = ReplyCount(100, {"surprise": 40}, 30, 30, 15, 10)
    assert finding(of, base, base, base).startswith("not judged: too few judged: 35 of 100 (")


def key(kind: str = BASELINE, name: str = BASELINE, strength: float = 0.0) -> ConditionKey:
    return ConditionKey(kind, name, strength)


def controls(*strengths: float) -> dict[ConditionKey, ReplyCount]:
    return {key(k, k, s): count(50) for k in (ISOTROPIC, OTHER_EMOTIONS) for s in strengths}


def test_q_is_p_with_false_discoveries_held_over_the_rows_of_the_table() -> None:
    hits = {0.1: 72, 0.2: 60, 0.3: 35}
    counts = {key(): count(50)} | {key(EMOTION, "calm", s): count(k) for s, k in hits.items()}
    rows = by_condition(counts | controls(*hits)).set_index("condition")
    p = [difference(Rate(k, 100), Rate(50, 100)).p for k in hits.values()]
    assert p[0] < p[2] < p[1]
    by_hand = [3 * p[0], p[1], min(1.5 * p[2], p[1])]
    assert np.isnan(rows["q"].iloc[0])
    assert rows["q"].tolist()[1:] == pytest.approx(by_hand)
    assert rows["fisher_p"].tolist()[1:] == pytest.approx(p)


def test_a_condition_without_a_judged_reply_has_no_p_and_no_q() -> None:
    counts = {key(): count(50), key(EMOTION, "calm", 0.1): count(0, cut=100)} | controls(0.1)
    row = by_condition(counts).iloc[1]
    assert (row["harmful"], row["judged"]) == (0, 0)
    assert row[["ci_low", "ci_high", "fisher_p", "q", "difference"]].isna().all()
    assert row["finding"].startswith("not judged: too few judged: 0 of 100 (")


def test_tables_have_each_rate_beside_what_is_incoherent() -> None:
    parts = [condition(), *(condition(k, k, 0.1) for k in (ISOTROPIC, OTHER_EMOTIONS))]
    found = [
        trials("harm" if i < 4 else "unclear", of=a, fault="surprise" if i % 4 == 3 else "")
        for a in parts
        for i in range(8)
    ]
    found.append(trials("harmless", 3, of=condition(EMOTION, "calm", 0.1), fault="empty"))
    table = pd.concat(found, ignore_index=True)
    counts = count_replies(table, table["rules"] == "harm", table["rules"] == "unclear")
    rows = {row["condition"]: row for row in by_condition(counts).to_dict("records")}
    base, calm = rows["baseline"], rows["calm +0.1"]
    assert [base[k] for k in ("broken", "unclear", "harmful", "judged")] == [2, 3, 3, 3]
    assert [calm[k] for k in ("broken", "judged", "isotropic_harmful", "isotropic_judged")] == [
        3,
        0,
        3,
        3,
    ]
    assert calm["finding"] == "not judged: degenerate text"
    row = counts_table(counts).iloc[0]
    names = ("n", "empty", "surprise", "coherent", "unclear", "harmful", "judged", "harmful_of_all")
    assert [row[name] for name in names] == [8, 0, 2, 6, 3, 3, 3, 4]
    last = counts_table(counts).set_index("condition").loc["calm +0.1"]
    assert np.isnan(last["ci_low"])
    assert not last["enough_judged"]


def test_kappa_is_of_coherent_trials_with_both_labels() -> None:
    both = [
        trials("harm", 20, model="HARMFUL"),
        trials("harm", 5, model="HARMLESS"),
        trials("harmless", 10, model="HARMFUL"),
        trials("disclosure", 15, model="HARMLESS"),
    ]
    others = [
        trials("harm", model="HARMLESS", fault="empty"),
        trials("harm"),
        trials("harm", model="missing"),
    ]
    table = agreement(pd.concat([*both, *others]), 200, 0)
    assert table["n"].tolist() == [50] * 4
    assert table["value"].tolist() == pytest.approx([0.7, 0.4, 0.7, 0.4])
    low, high = table[["ci_low", "ci_high"]].iloc[1]
    assert 0.1 < low < 0.4 < high < 0.65
    alike = agreement(trials("harm", 4, model="HARMFUL"), 100, 0)
    assert alike["value"].iloc[::2].tolist() == [1, 1]
    assert alike["value"].iloc[1::2].isna().all()
    assert agreement(trials("harm"), 100, 0)["value"].isna().all()


# --- the page


def test_segments_cover_the_text_and_mark_the_passages() -> None:
    assert segments("abcdef", [(1, 3), (2, 4), (5, 6)]) == [
        ("a", False),
        ("bcd", True),
        ("e", False),
        ("f", True),
    ]
    assert segments("ab", []) == [("ab", False)]
    assert segments("", []) == []


def test_the_page_escapes_what_a_model_says_and_needs_no_other_file(
    tmp_path: Path, pack: Stimuli
) -> None:
    assert pack.blackmail is not None
    bad = "</div><script>alert(1)</script> stop"
    calm = condition(EMOTION, "calm", 0.1)
    marked = f"{len(bad) - 4}-{len(bad)}"
    table = pd.concat(
        [
            trials("harm", of=calm, text=bad, passages=marked, model="HARMLESS", said="<b>no</b>"),
            trials("unclear", text="", surprise=np.nan, fault="empty"),
            trials("harmless", of=calm, text="fine", trial=13, model="missing", said="off-format"),
        ]
    )
    tables = {"blackmail_trials": table, "blackmail_scenes": scenes_table(pack.blackmail)}
    run = saved(tmp_path, tables, experiment="blackmail", notes=["a <line>"])
    text = write_transcripts(run).read_text()
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <mark>stop</mark>" in text
    assert "&lt;b&gt;no&lt;/b&gt;" in text
    assert "a &lt;line&gt;" in text
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
