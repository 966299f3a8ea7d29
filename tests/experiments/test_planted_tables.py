"""V1 to V11 judged on tables whose answer is known by hand; no model.

Each judgement has its exact value, the edge of its threshold, its ties, noise that says nothing
beside a strong pattern that does, and changes neither its input nor its mind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from emoexp.errors import NotApplicableError
from emoexp.experiments.correlation import Correlation
from emoexp.experiments.implicit import Implicit
from emoexp.experiments.logit_lens import LogitLens
from emoexp.experiments.numeric import Numeric
from emoexp.experiments.preference import Preference
from emoexp.experiments.steering import SteeredPreference
from emoexp.stats.criteria import COUNTS, CRITERIA, Verdict
from emoexp.stats.intervals import correlate_columns, wilson
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, MIXTURES, PERMUTED_SCENARIOS, SHUFFLED
from emoexp.stats.own_probe import measure_ranks, own_ranks, probe_ranks, read_outs
from emoexp.study.experiment import Bootstrap, Validation
from emoexp.study.result import Result
from emoexp.study.tables import null_table

BOOTSTRAP = Bootstrap(draws=200, permutations=200, seed=0)
ALL = tuple(CRITERIA)
Tables = dict[str, pd.DataFrame]
Numbers = Sequence[float] | np.ndarray


def judge(experiment: Validation, tables: Tables) -> Result:
    return experiment.judge(tables, BOOTSTRAP)


def verdict(identifier: str, experiment: Validation, tables: Tables) -> Verdict:
    """Returns the one verdict of that criterion."""
    (found,) = [v for v in judge(experiment, tables).verdicts if v.id == identifier]
    return found


def names(n: int) -> list[str]:
    return [f"e{i}" for i in range(n)]


def mix(yes: float, count: int, no: float, n: int) -> np.ndarray:
    """Returns `count` times `yes`, then `no`; (n,)."""
    return np.where(np.arange(n) < count, yes, no)


def correlated_with(y: np.ndarray, r: Numbers, seed: int = 0) -> np.ndarray:
    """Returns columns whose Pearson's r with y is `r`, independent apart from it; (y, r)."""
    r = np.asarray(r, dtype=np.float64)
    unit = (y - y.mean()) / np.linalg.norm(y - y.mean())
    noise = np.random.default_rng(seed).standard_normal((len(y), len(r)))
    noise -= noise.mean(0)
    noise -= np.outer(unit, unit @ noise)
    return np.outer(unit, r) + noise / np.linalg.norm(noise, axis=0) * np.sqrt(1 - r**2)


def lens(
    ranks: Numbers = (0, 0, 0),
    dots: Numbers = (-1, -1, -1, -1, -1),
    raw: Numbers | None = None,
    noise: np.ndarray | None = None,
    noise_dots: Numbers = (1, 1),
) -> Tables:
    """V1, V2: ranks of the own words, dots of the pairs; by default noise hits nothing."""
    n, k = len(ranks), len(dots)
    words = {"emotion": names(n), "rank_of_own_word": ranks, "single_token": np.arange(n) < n - 1}
    pairs = {"first": names(k), "second": names(k), "raw": dots if raw is None else raw}
    hits = np.zeros((50, n), dtype=int) if noise is None else noise
    return {
        "logit_lens": pd.DataFrame(words),
        "logit_lens_null": pd.DataFrame(hits, columns=names(n)),
        "opposite_pairs": pd.DataFrame({**pairs, "centred": dots}),
        "opposite_pairs_null": pd.DataFrame({"centred": np.asarray(noise_dots, dtype=float)}),
    }


def isotropic(draws: pd.DataFrame) -> pd.DataFrame:
    """Labels draws as those of isotropic directions, the only null there is."""
    return null_table({ISOTROPIC: draws})


def scenarios(matrix: np.ndarray, noise: np.ndarray | None = None) -> Tables:
    """V3, V4: cosines (scenario, probe) and the own probes' ranks of noise, by default the last."""
    n = len(matrix)
    table = pd.DataFrame(matrix, columns=names(n))
    table.insert(0, "scenario", names(n))
    ranks = np.full((50, n), n) if noise is None else noise
    null = [pd.DataFrame(ranks, columns=names(n)).assign(read_out=r) for r in read_outs(matrix)]
    return {"implicit": table, "implicit_null": isotropic(pd.concat(null))}


def ranked(ranks: Numbers) -> np.ndarray:
    """Returns cosines in which the own probes have these ranks, without ties."""
    n = len(ranks)
    order = (np.arange(n)[None, :] - np.arange(n)[:, None] - 1) % n
    return np.where(np.eye(n, dtype=bool), np.asarray(ranks)[:, None] - 1.5, order) * -0.01


def numbers(rho: Numbers, expected: Numbers, noise: np.ndarray | None = None) -> Tables:
    """V5, V6: trends with their expected signs; by default noise has no trend."""
    n = len(rho)
    cells = {"template": names(n), "probe": names(n), "spearman": rho, "expected": expected}
    trends = np.zeros((50, n)) if noise is None else noise
    return {
        "numeric_trends": pd.DataFrame(cells | {"size": 1.0}),
        "numeric_null": isotropic(pd.DataFrame(trends, columns=names(n))),
        "numeric_size_null": isotropic(pd.DataFrame(np.ones((50, n)), columns=names(n))),
    }


def activities(means: Numbers, spread: float = 0.0) -> Tables:
    """V7: categories of eight activities with these mean Elos, `spread` above and below them."""
    elo = np.repeat(np.asarray(means, dtype=np.float64), 8)
    elo += spread * np.tile([-1, 1], len(elo) // 2)
    return rated(elo)


def rated(elo: np.ndarray) -> Tables:
    category = [f"c{i // 8}" for i in range(len(elo))]
    table = pd.DataFrame({"category": category, "activity": names(len(elo)), "steered": False})
    answers = pd.DataFrame([{"position_bias": 0.1, "option_mass": 0.9}])
    return {"elo": table.assign(elo=elo, bradley_terry=2 * elo), "answers": answers}


def probed(
    r: Numbers,
    valence: Numbers | None = None,
    noise: np.ndarray | None = None,
    probes: np.ndarray | None = None,
) -> Tables:
    """V8, V9: probes whose r with Elo is given, or the probes themselves; by default noise has no
    correlation, and no valence is known."""
    n = len(r)
    elo = 1500 + 10 * np.random.default_rng(9).permutation(64 if probes is None else len(probes))
    table = pd.DataFrame(correlated_with(elo, r) if probes is None else probes, columns=names(n))
    table.insert(0, "elo", elo)
    known = np.full(n, np.nan) if valence is None else valence
    null = np.zeros((50, n)) if noise is None else noise
    return {
        "activity_probes": table,
        "correlations_null": isotropic(pd.DataFrame(null, columns=names(n))),
        "emotions": pd.DataFrame({"emotion": names(n), "valence": known}),
    }


def steered(r: Numbers, delta: Numbers, size: float = 10.0, agreeing: int = 12) -> Tables:
    """V10, V11: emotions beside 24 isotropic directions that move Elo by `size` each, `agreeing`
    of them with the sign of r. The first emotion is an exemplar."""
    random_r = np.tile([-0.2, -0.1, 0.1, 0.2], 6)
    random_delta = size * np.sign(random_r) * mix(1, agreeing, -1, 24)
    sets = {EMOTIONS: (r, delta), ISOTROPIC: (random_r, random_delta), MIXTURES: (r, delta)}
    parts = [
        pd.DataFrame({"set": name, "r": np.asarray(x, float), "delta_elo": np.asarray(y, float)})
        for name, (x, y) in sets.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    first = (table["set"] == EMOTIONS) & (table.index == 0)
    table = table.assign(direction=names(len(table)), valence=np.nan, exemplar=first)
    return {"steering": table.assign(delta_bradley_terry=table["r"])}


def signed(n: int) -> np.ndarray:
    """Returns correlations of both signs, none of them zero; (n,)."""
    return np.linspace(0.1, 0.8, n) * np.where(np.arange(n) % 2, -1, 1)


def planted(identifier: str, count: int, n: int, noise: int = 0) -> tuple[Validation, Tables]:
    """Returns tables in which exactly `count` of `n` meet the criterion, the others only just not,
    and in which noise always meets it `noise` times (where the null is in the tables)."""

    def null(yes: float, no: float) -> np.ndarray:
        return np.tile(mix(yes, noise, no, n), (50, 1))

    signs = np.where(np.arange(n) % 2, -1, 1)
    match identifier:
        case "V1":
            return LogitLens(), lens(mix(19, count, 20, n), noise=null(1, 0))
        case "V2":
            return LogitLens(), lens(dots=mix(-1e-9, count, 0, n))
        case "V3":
            return Implicit(), scenarios(ranked(mix(1, count, 2, n)), null(1, 2))
        case "V5":
            return Numeric(), numbers(signs * mix(0.01, count, 0, n), signs, null(1, 0) * signs)
        case "V6":
            return Numeric(), numbers(signs * mix(0.701, count, 0.7, n), signs, null(-0.8, 0.7))
        case "V9":
            return Correlation(), probed(signs * mix(0.301, count, 0.299, n), noise=null(-0.4, 0.2))
        case "V11":
            r = signed(n)
            return SteeredPreference(), steered(r, 30 * r * mix(1, count, -1, n))
    raise KeyError(identifier)


EDGES = [
    ("V1", 171, 20),
    ("V1", 64, 8),
    ("V2", 5, 4),
    ("V2", 3, 3),
    ("V3", 12, 8),
    ("V3", 5, 4),
    ("V5", 24, 17),
    ("V5", 18, 13),
    ("V6", 24, 12),
    ("V6", 18, 9),
    ("V9", 171, 5),
    ("V9", 64, 2),
    ("V11", 35, 24),
    ("V11", 37, 26),
    ("V11", 10, 7),
]


@pytest.mark.parametrize(("identifier", "n", "edge"), EDGES)
def test_a_count_passes_at_its_threshold_and_fails_one_below(
    identifier: str, n: int, edge: int
) -> None:
    for count in (edge - 1, edge):
        found = verdict(identifier, *planted(identifier, count, n))
        assert (found.value, found.n, found.threshold) == (count, n, edge)
        assert found.passed is (count == edge)
        assert (found.ci_low, found.ci_high) == pytest.approx(wilson(count, n))


@pytest.mark.parametrize("identifier", COUNTS)
def test_nothing_and_everything_are_counted(identifier: str) -> None:
    for count in (0, 10):
        found = verdict(identifier, *planted(identifier, count, 10))
        assert (found.value, found.n, found.passed) == (count, 10, count == 10)


@pytest.mark.parametrize(
    ("identifier", "n", "noise"),
    [("V1", 40, 7), ("V3", 12, 3), ("V5", 24, 14), ("V6", 24, 5), ("V9", 100, 30)],
)
def test_a_count_is_informative_from_one_above_what_noise_reaches(
    identifier: str, n: int, noise: int
) -> None:
    for count, informative in ((noise, False), (noise + 1, True)):
        found = verdict(identifier, *planted(identifier, count, n, noise))
        assert found.null_high == noise
        assert found.informative is informative


# V1, V2: the lens


def test_own_words_are_counted_below_rank_twenty() -> None:
    found = verdict("V1", LogitLens(), lens([0, 1, 19, 20, 21, 50_000, 3, 19]))
    assert (found.value, found.n) == (5, 8)
    assert found.threshold == 1, "20 of 171, in proportion and rounded up"
    assert found.passed


def test_a_word_at_rank_top_does_not_count_and_one_above_it_does() -> None:
    assert verdict("V1", LogitLens(), lens([20])).value == 0
    assert verdict("V1", LogitLens(), lens([19])).value == 1


def test_another_top_counts_up_to_it_and_gives_no_verdict() -> None:
    result = judge(LogitLens(top=5), lens([0, 4, 5, 19]))
    assert [v.id for v in result.verdicts] == ["V2"]
    row = result.tables["other_settings"].iloc[0]
    assert (row["value"], row["n"]) == (2, 4)


def test_the_median_rank_is_over_words_of_one_token() -> None:
    result = judge(LogitLens(), lens([4, 6, 30, 99_999]))
    assert result.metrics["V1_single_token_words"] == 3, "the last word has several tokens"
    assert result.metrics["V1_median_rank_of_own_word"] == 6


def test_without_a_word_of_one_token_the_median_is_over_all() -> None:
    tables = lens([10, 20, 60])
    tables["logit_lens"]["single_token"] = False
    result = judge(LogitLens(), tables)
    assert result.metrics["V1_single_token_words"] == 0
    assert result.metrics["V1_median_rank_of_own_word"] == 20


def test_pairs_oppose_by_their_centred_logits_and_the_raw_ones_are_a_metric() -> None:
    tables = lens(dots=[-3, -0.1, 2, -8, -1], raw=[-1, 1, 1, 1, -1])
    result = judge(LogitLens(), tables)
    found = verdict("V2", LogitLens(), tables)
    assert (found.value, found.n, found.passed) == (4, 5, True)
    assert (result.metrics["V2_centred"], result.metrics["V2_raw"]) == (4, 2)


def test_orthogonal_pairs_do_not_oppose() -> None:
    assert verdict("V2", LogitLens(), lens(dots=[0.0, 0.0, -1.0])).value == 1


def test_opposing_pairs_are_not_informative_where_noise_opposes_as_often() -> None:
    for noise, informative in (((-1, -1), False), ((0, 0), True)):
        found = verdict("V2", LogitLens(), lens(noise_dots=noise))
        assert (found.value, found.passed, found.informative) == (5, True, informative)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pairs_give_a_note_and_no_verdict(n: int) -> None:
    tables = lens(dots=[-1.0] * n, noise_dots=())
    result = judge(LogitLens(), tables)
    assert [v.id for v in result.verdicts] == ["V1"]
    (note,) = result.notes
    assert "not measured: V2" in note and f"leaves {n}" in note
    assert not any(name.startswith("V2") for name in result.metrics)


def test_two_pairs_are_judged() -> None:
    result = judge(LogitLens(), lens(dots=[-1, -1]))
    assert [v.id for v in result.verdicts] == ["V1", "V2"]
    assert not result.notes


# V3, V4: scenarios


def test_own_probes_are_ranked_among_the_probes() -> None:
    matrix = np.array([[0.9, 0.1, 0.2], [0.5, 0.4, 0.3], [0.3, 0.2, 0.1]])
    result = judge(Implicit(), scenarios(matrix))
    v3, v4 = result.verdicts
    assert (v3.value, v3.n, v3.passed) == (1, 3, False)
    assert (v4.value, v4.n, v4.passed) == (2, 3, True), "ranks 1, 2 and 3"
    assert result.metrics["V3_top3"] == 3
    assert result.metrics["implicit_diagonal_mean"] == pytest.approx((0.9 + 0.4 + 0.1) / 3)
    assert result.metrics["implicit_off_diagonal_mean"] == pytest.approx(1.6 / 6)


def test_ranks_are_over_a_scenarios_probes_and_not_over_a_probes_scenarios() -> None:
    """Raw: the first probe is highest everywhere. Centred over the scenarios: each its own."""
    matrix = 0.1 * np.eye(6)
    matrix[:, 0] += 1
    result = judge(Implicit(), scenarios(matrix))
    assert [v.value for v in result.verdicts] == [1, (1 + 5 * 2) / 6]
    assert (result.metrics["V3_centred"], result.metrics["V4_centred"]) == (6, 1)


@pytest.mark.parametrize("n", [12, 200])
def test_a_mean_rank_of_three_passes_and_one_just_above_fails(n: int) -> None:
    at, above = [3] * n, [3] * (n - 1) + [4]
    for ranks, passed in ((at, True), (above, False)):
        found = verdict("V4", Implicit(), scenarios(ranked(ranks)))
        assert (found.value, found.n) == (sum(ranks) / n, n)
        assert found.passed is passed


def test_the_mean_ranks_interval_is_of_no_width_where_all_ranks_are_equal() -> None:
    found = verdict("V4", Implicit(), scenarios(ranked([2] * 12)))
    assert (found.ci_low, found.ci_high) == (2, 2)
    found = verdict("V4", Implicit(), scenarios(ranked([1, 7] * 6)))
    assert 1 < found.ci_low < 4 < found.ci_high < 7


def test_a_low_mean_rank_is_informative_only_below_what_noise_reaches() -> None:
    noise = np.full((50, 12), 3)
    for ranks, informative in (([3] * 12, False), ([3] * 11 + [2], True), ([4] * 12, False)):
        nulls = judge(Implicit(), scenarios(ranked(ranks), noise)).tables["nulls"]
        row = nulls[(nulls["criterion"] == "V4") & (nulls["null"] == ISOTROPIC)].iloc[0]
        assert (row["null_low"], row["null_high"]) == (3, 3)
        assert row["beyond"] == informative


def test_a_part_that_all_scenarios_share_is_beyond_isotropic_directions_and_says_nothing() -> None:
    """Raw, the probes differ by a constant that no scenario changes: each probe has one rank, so
    the mean rank is 6.5 however scenarios are permuted. Centred, the own probe is the highest."""
    matrix = 0.01 * np.eye(12) + np.linspace(0, 5, 12)[None, :]
    result = judge(Implicit(), scenarios(matrix, np.full((50, 12), 7)))
    v4 = result.verdicts[1]
    assert (v4.value, v4.informative) == (6.5, False)
    nulls = result.tables["nulls"].set_index(["criterion", "null"])
    assert nulls.loc[("V4", ISOTROPIC), "beyond"]
    assert not nulls.loc[("V4", PERMUTED_SCENARIOS), "beyond"]
    rows = result.tables["implicit_read_outs"].set_index(["read_out", "id"])
    assert rows.loc[("raw", "V4"), "permutation_p"] == 1
    assert rows.loc[("centred", "V3"), "value"] == 12
    assert rows.loc[("centred", "V4"), "informative"]
    assert rows.loc[("centred", "V4"), "permutation_p"] < 0.01


def test_the_permutation_null_is_that_of_all_orders() -> None:
    """Of the six orders of three scenarios one leaves all three own probes highest, three leave
    one, two leave none; the mean ranks are 1, 2, 3, and three times (1 + 2 + 3) / 3."""
    ranks = np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1]])
    found = measure_ranks(ranks, {ISOTROPIC: np.full((50, 3), 2)}, 100, 20_000, 0)
    (v3, p3), (v4, p4) = found
    assert (v3.value, v4.value) == (3, 1)
    assert p3 == pytest.approx(1 / 6, abs=0.01) and p4 == pytest.approx(1 / 6, abs=0.01)
    assert v3.nulls[PERMUTED_SCENARIOS] == (0, 3)
    assert v4.nulls[PERMUTED_SCENARIOS].low == 1


def test_another_seed_draws_other_permutations() -> None:
    ranks = probe_ranks(np.random.default_rng(1).standard_normal((12, 12)))
    first, same, other = (
        measure_ranks(ranks, {ISOTROPIC: ranks}, 100, 50, s)[1][1] for s in (0, 0, 1)
    )
    assert first == same != other


def test_scenarios_are_z_scored_only_where_there_are_enough() -> None:
    matrix = np.random.default_rng(0).standard_normal((6, 6))
    z = read_outs(matrix)["z-scored"]
    assert z.mean(0) == pytest.approx(0, abs=1e-12) and z.std(0) == pytest.approx(1)
    assert list(read_outs(matrix[:5, :5])) == ["raw", "centred"]
    matrix[:, 2] = 3.0
    assert list(read_outs(matrix)) == ["raw", "centred"], "a probe without spread"


def test_a_tied_probe_takes_the_worst_rank() -> None:
    matrix = ranked([1] * 4)
    matrix[0, 1] = matrix[0, 0]
    v3, v4 = judge(Implicit(), scenarios(matrix)).verdicts
    assert v3.value == 3, "tied for the highest is not the highest"
    assert v4.value == (2 + 1 + 1 + 1) / 4


def test_probes_that_all_read_the_same_rank_last() -> None:
    v3, v4 = judge(Implicit(), scenarios(np.full((6, 6), 0.25))).verdicts
    assert (v3.value, v4.value) == (0, 6)


def test_a_probe_that_is_not_a_number_ranks_last() -> None:
    matrix = ranked([1] * 4)
    matrix[2, 2] = np.nan
    v3, v4 = judge(Implicit(), scenarios(matrix)).verdicts
    assert (v3.value, v4.value) == (3, (1 + 1 + 4 + 1) / 4)


# V5, V6: numbers


def test_signs_and_sizes_of_trends_are_counted_apart() -> None:
    rho = [0.9, 0.2, -0.9, -0.8, 0.8, -0.1]
    expected = [1, 1, 1, -1, -1, 1]
    result = judge(Numeric(), numbers(rho, expected))
    v5, v6 = result.verdicts
    assert (v5.value, v5.n, v5.passed) == (3, 6, False), "threshold 5: 17 of 24"
    assert (v6.value, v6.n, v6.passed) == (4, 6, True), "of either sign"
    assert result.metrics["V5_and_strong"] == 2


def test_a_flat_trend_has_no_sign() -> None:
    for sign in (1, -1):
        assert verdict("V5", Numeric(), numbers([0.0, -0.0, 1e-12 * sign], [sign] * 3)).value == 1


def test_a_trend_at_the_limit_is_not_strong() -> None:
    rho = [0.7, -0.7, np.nextafter(0.7, 1), -np.nextafter(0.7, 1)]
    assert verdict("V6", Numeric(), numbers(rho, [1] * 4)).value == 2


def test_another_limit_of_strong_trends_gives_no_verdict() -> None:
    result = judge(Numeric(strong=0.5), numbers([0.6, -0.6, 0.4], [1, 1, 1]))
    assert [v.id for v in result.verdicts] == ["V5"]
    row = result.tables["other_settings"].iloc[0]
    assert (row["value"], row["n"]) == (2, 3)
    assert result.metrics["V5_and_above_0.5"] == 1
    assert "V5_and_strong" not in result.metrics


def test_the_size_of_each_trend_is_beside_that_of_isotropic_directions() -> None:
    """Two perfect trends, one as flat as noise: V5 and V6 count both, the sizes tell them apart."""
    tables = dict(numbers([1.0, 1.0], [1, 1]))
    tables["numeric_trends"]["size"] = [3.0, 0.5]
    noise = np.tile(np.linspace(0, 1, 101)[:, None], 2)
    tables["numeric_size_null"] = isotropic(pd.DataFrame(noise, columns=names(2)))
    result = judge(Numeric(), tables)
    assert [v.value for v in result.verdicts] == [2, 2]
    sizes = result.tables["numeric_sizes"]
    assert list(sizes["beyond"]) == [True, False]
    assert sizes["null_low"].tolist() == pytest.approx([0.025, 0.025])
    assert sizes["null_high"].tolist() == pytest.approx([0.975, 0.975])
    assert result.metrics["numeric_size_mean"] == 1.75
    assert result.metrics["numeric_sizes_beyond_null"] == 1


# V7: preferences


def test_the_gap_is_between_the_highest_and_the_lowest_category() -> None:
    means = [1500, 1650, 1410, 1500, 1520, 1480, 1390, 1550]
    result = judge(Preference(), activities(means, spread=40))
    (found,) = result.verdicts
    assert (found.value, found.n, found.passed) == (260, 64, True)
    assert found.informative
    assert result.metrics["V7_bradley_terry"] == 520
    assert (result.metrics["elo_min"], result.metrics["elo_max"]) == (1350, 1690)
    assert result.metrics["elo_bradley_terry_r"] == pytest.approx(1)
    assert (result.metrics["position_bias"], result.metrics["option_mass"]) == (0.1, 0.9)
    ordered = result.tables["elo_by_category"]
    assert list(ordered["category"]) == ["c1", "c7", "c4", "c0", "c3", "c5", "c2", "c6"]
    assert list(ordered["elo"]) == sorted(means, reverse=True)


def test_a_gap_of_two_hundred_fails_and_one_just_above_passes() -> None:
    for gap, passed in ((199.999, False), (200, False), (200.001, True)):
        means = [1400, 1500, 1500, 1400 + gap]
        found = verdict("V7", Preference(), activities(means, spread=30))
        assert found.value == pytest.approx(gap, abs=1e-9)
        assert found.passed is passed


def test_the_gaps_interval_resamples_within_the_categories() -> None:
    found = verdict("V7", Preference(), activities([1400, 1500, 1700]))
    assert (found.ci_low, found.ci_high) == (300, 300), "no spread within, so nothing to resample"
    found = verdict("V7", Preference(), activities([1400, 1500, 1700], spread=50))
    assert 200 < found.ci_low < 300 < found.ci_high < 400


def test_one_outlier_is_a_gap_that_says_nothing() -> None:
    """Wherever the permutation puts it, its category stands out as much."""
    elo = np.full(64, 1500.0)
    elo[5] = 3500
    found = verdict("V7", Preference(), rated(elo))
    assert (found.value, found.null_high) == (250, 250)
    assert found.passed and not found.informative


def test_a_gap_beyond_the_null_says_nothing_below_its_floor() -> None:
    for gap, informative in ((19.99, False), (20, True)):
        found = verdict("V7", Preference(), activities([1500 + gap] + [1500] * 7))
        assert found.value == pytest.approx(gap) and found.value > found.null_high
        assert found.informative is informative


# V8, V9: correlations


@pytest.mark.parametrize(
    ("highest", "lowest", "value"),
    [
        ((1, 1, 1), (-1, -1, -1), 3),
        ((1, 1, -1), (-1, -1, -1), 2),
        ((1, 1, 1), (1, -1, -1), 2),
        ((1, -1, -1), (-1, -1, -1), 1),
        ((1, 1, 1), (1, 1, -1), 1),
        ((-1, -1, -1), (1, 1, 1), 0),
        ((1, 1, 0), (-1, -1, 0), 2),
    ],
)
def test_the_smaller_count_of_right_valence_among_the_extremes_is_taken(
    highest: tuple[int, ...], lowest: tuple[int, ...], value: int
) -> None:
    """A neutral valence is right on neither side; the middle, all wrong, does not matter."""
    valence = [*lowest, 1, 1, -1, -1, *highest]
    order = np.random.default_rng(1).permutation(10)
    r = np.linspace(-0.6, 0.6, 10)
    tables = probed(r[order], np.array(valence, dtype=float)[order])
    found = verdict("V8", Correlation(), tables)
    assert (found.value, found.n, found.passed) == (value, 6, value >= 2)


def test_emotions_of_unknown_valence_are_passed_over() -> None:
    valence = np.array([np.nan, -1, -1, -1, np.nan, 1, 1, 1, np.nan])
    order = np.random.default_rng(2).permutation(9)
    result = judge(Correlation(), probed(np.linspace(-0.6, 0.6, 9)[order], valence[order]))
    v8, v9 = result.verdicts
    assert (v8.value, v8.n) == (3, 6)
    assert v9.n == 9, "V9 needs no valence"


@pytest.mark.parametrize("known", [0, 5])
def test_fewer_than_six_emotions_of_known_valence_give_a_note_and_no_verdict(known: int) -> None:
    valence = mix(1, known, np.nan, 12) * np.where(np.arange(12) % 2, -1, 1)
    result = judge(Correlation(), probed(np.linspace(-0.6, 0.6, 12), valence))
    assert [v.id for v in result.verdicts] == ["V9"]
    (note,) = result.notes
    assert "not measured: V8, which needs 6" in note and f"{known} have one" in note


def test_six_emotions_of_known_valence_are_judged() -> None:
    valence = mix(1, 6, np.nan, 12) * np.where(np.arange(12) % 2, -1, 1)
    result = judge(Correlation(), probed(np.linspace(-0.6, 0.6, 12), valence))
    assert [v.id for v in result.verdicts] == ["V8", "V9"]
    assert result.notes == ["extremes of 6 of 12 emotions with a valence"]


def of_valence(n: int) -> np.ndarray:
    """Negative, neutral and positive, a third each in this order; (n,)."""
    return np.repeat([-1.0, 0.0, 1.0], n // 3)


def test_right_extremes_are_not_informative_where_random_probes_have_them_too() -> None:
    r, valence = np.linspace(-0.3, 0.3, 30), of_valence(30)
    for noise, informative in ((r, False), (-r, True)):
        found = verdict("V8", Correlation(), probed(r, valence, np.tile(noise, (50, 1))))
        assert (found.value, found.passed, found.informative) == (3, True, informative)


def test_right_extremes_are_not_informative_where_permuted_elo_has_them_too() -> None:
    """Probes along one axis of valence: any Elo has the pleasant ones at one end, half of the time
    at the right one."""
    rng, valence = np.random.default_rng(3), of_valence(30)
    axis = 1500 + 10 * np.random.default_rng(9).permutation(64) + rng.normal(0, 50, 64)
    probes = np.outer(axis, valence) + rng.normal(0, 1, (64, 30))
    found = verdict("V8", Correlation(), probed(valence, valence, probes=probes))
    assert (found.value, found.null_high) == (3, 3)
    assert found.passed and not found.informative


def test_correlations_of_either_sign_are_counted_beyond_the_limit() -> None:
    result = judge(Correlation(), probed([0.9, 0.31, 0.29, 0.0, -0.29, -0.31, -0.8]))
    (found,) = result.verdicts
    assert (found.value, found.n, found.passed) == (4, 7, True)
    table = result.tables["correlations"]
    assert list(table["emotion"]) == ["e6", "e5", "e4", "e3", "e2", "e1", "e0"]
    np.testing.assert_allclose(table["r"], [-0.8, -0.31, -0.29, 0, 0.29, 0.31, 0.9], atol=1e-9)
    assert (table["ci_low"] < table["r"]).all() and (table["r"] < table["ci_high"]).all()
    assert result.metrics == pytest.approx({"r_max": 0.9, "r_min": -0.8})


def test_probes_that_are_one_probe_are_not_informative() -> None:
    """Permuted Elo has all of them beyond the limit at once, and not seldom with few activities."""
    elo = probed([0.0], probes=np.zeros((16, 1)))["activity_probes"]["elo"].to_numpy()
    one = correlated_with(elo, [0.31])
    found = verdict("V9", Correlation(), probed([0.31] * 8, probes=np.repeat(one, 8, 1)))
    assert (found.value, found.null_high) == (8, 8)
    assert found.passed and not found.informative


def test_another_limit_and_other_extremes_give_no_verdict() -> None:
    valence = [-1, -1, 1, -1, 1, 1, -1, 1]
    tables = probed([-0.6, -0.45, -0.35, -0.2, 0.2, 0.35, 0.45, 0.6], valence)
    result = judge(Correlation(least=0.4, extremes=2), tables)
    assert not result.verdicts
    rows = result.tables["other_settings"]
    assert list(rows["value"]) == [1, 4]
    assert list(rows["n"]) == [4, 8]


def test_r_with_valence_is_over_the_emotions_that_have_one() -> None:
    tables = probed([-0.5, 0.0, 0.5, 0.9], [-1, 0, 1, np.nan])
    assert judge(Correlation(), tables).metrics["r_with_valence"] == pytest.approx(1)


# V10, V11: steering


def test_steering_has_its_correlation_signs_and_size() -> None:
    """By hand: the covariance of (-3, -1, 1, 3) and (-1, -3, 3, 1) is 12, their variances 20."""
    r, delta = np.tile([-0.3, -0.1, 0.1, 0.3], 9), np.tile([-10.0, -30.0, 30.0, 10.0], 9)
    result = judge(SteeredPreference(), steered(r, delta, size=5))
    v10, v11 = result.verdicts
    assert v10.value == pytest.approx(0.6)
    assert (v10.n, v10.passed) == (36, True)
    assert (v11.value, v11.n, v11.passed, v11.threshold) == (36, 36, True, 25)
    assert v10.ci_low < 0.6 < v10.ci_high
    assert result.metrics["mean_abs_delta_elo"] == 20
    assert result.metrics["mean_abs_delta_elo_isotropic"] == 5
    assert result.metrics["effect_ratio"] == 4
    assert result.metrics["V11_isotropic_share"] == 0.5
    assert result.metrics["delta_elo_e0"] == -10, "the exemplar"
    assert result.metrics["V10_absolute_as_published"] == pytest.approx(0.6)
    assert result.metrics["V10_bradley_terry"] == pytest.approx(1), "planted as r itself"
    assert list(result.tables["steering_rows"]["directions"]) == [EMOTIONS, ISOTROPIC, MIXTURES]


def test_the_correlation_passes_just_above_its_threshold_and_fails_just_below() -> None:
    r = signed(36)
    for wanted, passed in ((0.4 - 1e-6, False), (0.4 + 1e-6, True)):
        delta = 100 * correlated_with(r, [wanted])[:, 0]
        found = verdict("V10", SteeredPreference(), steered(r, delta))
        assert found.value == pytest.approx(wanted, abs=1e-9)
        assert found.passed is passed


def test_a_negative_correlation_fails_though_it_is_large() -> None:
    r = signed(36)
    result = judge(SteeredPreference(), steered(r, -50 * r))
    v10, v11 = result.verdicts
    assert v10.value == pytest.approx(-1)
    assert (v10.passed, v11.value, v11.passed) == (False, 0, False)
    assert result.metrics["V10_absolute_as_published"] == pytest.approx(1)


def test_a_delta_of_zero_does_not_agree() -> None:
    r = np.array([0.5, -0.5, 0.4, -0.4, 0.3, -0.3])
    found = verdict("V11", SteeredPreference(), steered(r, [20, -20, 0, 0.0, -0.0, -20]))
    assert (found.value, found.n, found.passed) == (3, 6, False)


def test_the_null_of_agreeing_signs_is_of_isotropic_directions() -> None:
    r = signed(35)
    for agreeing in (0, 24):
        tables = steered(r, 30 * r, agreeing=agreeing)
        found = verdict("V11", SteeredPreference(), tables)
        assert found.null_low == found.null_high == agreeing / 24 * 35
        half = verdict("V11", SteeredPreference(), steered(r, 30 * r))
        assert 5 < half.null_low < 17.5 < half.null_high < 30


@pytest.mark.parametrize(
    ("size", "random", "informative"),
    [
        (20.0, 10.0, True),
        (20.0, 20.0, False),
        (20.0, 40.0, False),
        (10.0, 1.0, True),
        (9.99, 1.0, False),
    ],
    ids=["twice noise", "as large as noise", "half of noise", "at the floor", "below the floor"],
)
def test_only_the_size_of_steering_makes_it_informative(
    size: float, random: float, informative: bool
) -> None:
    r = signed(36)
    result = judge(SteeredPreference(), steered(r, size * np.sign(r), size=random, agreeing=24))
    assert result.metrics["effect_ratio"] == pytest.approx(size / random)
    assert all(v.passed for v in result.verdicts)
    assert [v.informative for v in result.verdicts] == [informative] * 2


def test_steering_without_a_moving_isotropic_direction_is_not_applicable() -> None:
    r = signed(36)
    with pytest.raises(NotApplicableError, match=f"changes no preference.*: {ISOTROPIC}"):
        judge(SteeredPreference(), steered(r, 50 * r, size=0))


@pytest.mark.parametrize("label", [EMOTIONS, ISOTROPIC, MIXTURES])
def test_a_set_of_directions_that_changes_nothing_is_not_applicable(label: str) -> None:
    r = signed(36)
    tables = steered(r, 50 * r)
    table = tables["steering"]
    few = table.index[table["set"] == label][1 if label == ISOTROPIC else 0 :]
    table.loc[few, "delta_elo"] = 0.0
    with pytest.raises(NotApplicableError, match=f"changes no preference.*: {label}"):
        judge(SteeredPreference(), tables)


# shuffled labels


@pytest.mark.parametrize("identifier", ["V1", "V2", "V3", "V4", "V5", "V6", "V9"])
def test_a_pattern_that_shuffled_labels_reach_too_is_not_informative(identifier: str) -> None:
    """Each is informative beside isotropic directions alone, and not once the vectors of shuffled
    labels show the same."""
    validation, tables = strong(identifier)
    alone = verdict(identifier, validation, tables)
    assert alone.informative
    found = judge(validation, shuffled_as_well(identifier, tables))
    row = next(v for v in found.verdicts if v.id == identifier)
    assert (row.value, row.passed, row.informative) == (alone.value, alone.passed, False)
    nulls = found.tables["nulls"].set_index(["criterion", "null"])["beyond"]
    assert nulls[identifier, ISOTROPIC] and not nulls[identifier, SHUFFLED]


def shuffled_as_well(identifier: str, tables: Tables) -> Tables:
    """Adds vectors of shuffled labels that show exactly what the emotion vectors show."""
    tables = {name: table.copy() for name, table in tables.items()}
    draws = 40
    if identifier in ("V1", "V2"):
        hits = tables["logit_lens"]["rank_of_own_word"].to_numpy() < 20
        dots = tables["opposite_pairs"]["centred"].to_numpy()
        tables["logit_lens_shuffled"] = pd.DataFrame(np.tile(hits.astype(int), (draws, 1)))
        tables["opposite_pairs_shuffled"] = pd.DataFrame(np.tile(dots, (draws, 1)))
        return tables
    if identifier in ("V3", "V4"):
        names_, read = list(tables["implicit"]["scenario"]), tables["implicit_null"]
        own = own_ranks(tables["implicit"][names_].to_numpy(dtype=float))
        part = pd.DataFrame(np.tile(own, (draws, 1)), columns=names_)
        parts = [part.assign(read_out=r, null=SHUFFLED) for r in read["read_out"].unique()]
        tables["implicit_null"] = pd.concat([read, *parts], ignore_index=True)
        return tables
    if identifier == "V9":
        name, own = "correlations_null", correlate_columns(*probes_and_elo(tables))
    else:
        name, own = "numeric_null", tables["numeric_trends"]["spearman"].to_numpy()
    columns = tables[name].columns.drop("null")
    same = pd.DataFrame(np.tile(own, (draws, 1)), columns=columns).assign(null=SHUFFLED)
    tables[name] = pd.concat([tables[name], same], ignore_index=True)
    return tables


def probes_and_elo(tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    table = tables["activity_probes"]
    return table.drop(columns="elo").to_numpy(dtype=float), table["elo"].to_numpy()


def test_steering_says_how_large_it_is_beside_shuffled_labels() -> None:
    r = signed(36)
    tables = dict(steered(r, 30 * np.sign(r), size=10, agreeing=24))
    same = tables["steering"][tables["steering"]["set"] == EMOTIONS].assign(set=SHUFFLED)
    tables["steering"] = pd.concat([tables["steering"], same], ignore_index=True)
    result = judge(SteeredPreference(), tables)
    assert result.metrics["effect_ratio"] == pytest.approx(3)
    assert result.metrics["effect_ratio_over_shuffled"] == pytest.approx(1)
    assert result.metrics["effect_ratio_over_shuffled_low"] <= 1
    assert SHUFFLED in list(result.tables["steering_rows"]["directions"])
    assert not any(v.informative for v in result.verdicts), "as large as without emotions"
    nulls = result.tables["nulls"]
    assert set(nulls["null"]) == {ISOTROPIC, SHUFFLED}


# all of them: noise, strong patterns, purity


def strong(identifier: str) -> tuple[Validation, Tables]:
    """Returns a pattern that noise drawn at random does not reach."""
    rng = np.random.default_rng(4)
    match identifier:
        case "V1" | "V2":
            hits, dots = rng.integers(0, 5, (100, 64)) == 0, rng.normal(0.5, 1, 100)
            return LogitLens(), lens(mix(3, 40, 400, 64), noise=hits * 1, noise_dots=dots)
        case "V3" | "V4":
            ranks = mix(1, 9, 2, 12)
            return Implicit(), scenarios(ranked(ranks), rng.integers(1, 13, (100, 12)))
        case "V5" | "V6":
            signs = rng.choice([-1, 1], 24)
            return Numeric(), numbers(0.9 * signs, signs, rng.uniform(-1, 1, (100, 24)))
        case "V7":
            return Preference(), activities(np.linspace(1300, 1700, 8), spread=60)
        case "V8" | "V9":
            noise = rng.normal(0, 1 / 8, (100, 60))
            return Correlation(), probed(np.linspace(-0.4, 0.4, 60), of_valence(60), noise)
        case _:
            r = signed(36)
            return SteeredPreference(), steered(r, 200 * r + rng.normal(0, 20, 36))


def noisy(identifier: str) -> tuple[Validation, Tables]:
    """Returns what is drawn as its own null is."""
    rng = np.random.default_rng(6)
    match identifier:
        case "V1" | "V2":
            ranks, dots = rng.integers(0, 40, 64), rng.normal(0, 1, 6)
            hits = rng.integers(0, 40, (100, 64)) < 20
            return LogitLens(), lens(ranks, dots, noise=hits * 1, noise_dots=rng.normal(0, 1, 100))
        case "V3" | "V4":
            matrix = rng.standard_normal((12, 12))
            return Implicit(), scenarios(matrix, rng.integers(1, 13, (100, 12)))
        case "V5" | "V6":
            rho, noise = rng.uniform(-1, 1, 24), rng.uniform(-1, 1, (100, 24))
            return Numeric(), numbers(rho, rng.choice([-1, 1], 24), noise)
        case "V7":
            return Preference(), rated(rng.normal(1500, 200, 64))
        case "V8" | "V9":
            noise, valence = rng.normal(0, 1 / 8, (100, 60)), rng.choice([-1.0, 1.0], 60)
            return Correlation(), probed(rng.normal(0, 1 / 8, 60), valence, noise)
        case _:
            r = signed(36)
            return SteeredPreference(), steered(r, rng.normal(0, 15, 36), size=13)


@pytest.mark.parametrize("identifier", ALL)
def test_a_strong_pattern_passes_and_is_informative(identifier: str) -> None:
    found = verdict(identifier, *strong(identifier))
    assert found.passed and found.informative


@pytest.mark.parametrize("identifier", ALL)
def test_noise_is_within_its_null_and_not_informative(identifier: str) -> None:
    found = verdict(identifier, *noisy(identifier))
    assert found.null_low <= found.value <= found.null_high
    assert not found.informative


@pytest.mark.parametrize("make", [strong, noisy])
@pytest.mark.parametrize("identifier", ["V1", "V3", "V5", "V7", "V8", "V10"])
def test_judging_again_says_the_same_and_leaves_the_tables_alone(
    identifier: str, make: Callable[[str], tuple[Validation, Tables]]
) -> None:
    experiment, tables = make(identifier)
    before = {name: table.copy(deep=True) for name, table in tables.items()}
    first, second = judge(experiment, tables), judge(experiment, tables)
    same_tables(tables, before)
    same_tables(first.tables, second.tables)
    assert first.verdicts == second.verdicts
    assert (first.metrics, first.notes) == (second.metrics, second.notes)


def same_tables(some: Tables, others: Tables) -> None:
    assert list(some) == list(others)
    for name, table in some.items():
        pd.testing.assert_frame_equal(table, others[name], check_exact=True)


@pytest.mark.parametrize("identifier", ["V1", "V3", "V5", "V7", "V8", "V10"])
def test_each_experiment_gives_its_criteria_in_order(identifier: str) -> None:
    experiment, tables = strong(identifier)
    wanted = {
        "V1": ["V1", "V2"],
        "V3": ["V3", "V4"],
        "V5": ["V5", "V6"],
        "V7": ["V7"],
        "V8": ["V8", "V9"],
        "V10": ["V10", "V11"],
    }
    assert [v.id for v in judge(experiment, tables).verdicts] == wanted[identifier]
