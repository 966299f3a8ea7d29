"""Compares a saved run with the published numbers, where its stimuli are the paper's own.

Each comparison is a Pearson r with its 95 % bootstrap interval and the 95 % range of its
permutation null; no verdict hangs on one. The published numbers are mostly digitised, with the
errors that emoexp/stimuli/paper/published.py states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from emoexp.config import SteeringSpan
from emoexp.stats.intervals import (
    Interval,
    bootstrap,
    central,
    correlate_columns,
    pearson,
    spearman,
)
from emoexp.stats.labels import EMOTIONS, ISOTROPIC
from emoexp.stimuli.paper import published
from emoexp.store.record import SavedRun
from emoexp.study.experiment import Bootstrap, values_of
from emoexp.study.result import Result

EXEMPLARS = ("blissful", "hostile")
Row = dict[str, Any]
WEAK = 0.5
"""A published trend with a smaller |Spearman| has no sign worth agreeing with."""


def compare_with_paper(run: SavedRun, draws: Bootstrap) -> Result:
    """Compares every table of the run that has a published counterpart.

    Returns:
        metrics, tables and notes; nothing where the pack is not the paper's.
    """
    found = Result()
    if not run.is_paper:
        return found
    if "elo" in run.names:
        found.merge(elo(run.table("elo")["elo"].to_numpy(dtype=float), draws))
    if "implicit" in run.names:
        table = run.table("implicit")
        names = list(table["scenario"])
        found.merge(implicit(values_of(table, names), names, draws))
    if "numeric_curves" in run.names:
        table = run.table("numeric_curves")
        probes = [name for name in table.columns if name not in ("template", "value")]
        by_key = dict(list(table.groupby("template", sort=False)))
        curves = [values_of(part, probes) for part in by_key.values()]
        found.merge(numeric([str(key) for key in by_key], probes, curves, draws))
    if "correlations" in run.names:
        r = run.table("correlations").set_index("emotion")["r"]
        names = [str(name) for name in run.table("emotions")["emotion"]]
        probes_at = values_of(run.table("activity_probes"), names)
        found.merge(correlation(names, probes_at, r.loc[names].to_numpy(dtype=float), draws))
    if "steering_rows" in run.names:
        sets = dict(list(run.table("steering").groupby("set")))
        steered = (run.record.stimuli or {}).get("steered", ())
        found.merge(steering(sets[EMOTIONS], sets[ISOTROPIC], steered, run.record.span))
    return found


def elo(ratings: np.ndarray, draws: Bootstrap) -> Result:
    """Compares our Elos with Claude's, post-trained and base, and those two with each other.

    Activities are the units.

    Args:
        ratings: (activity,), in the pack's order, which is the paper's.
    """
    paper = published.activities()
    claude = paper.elo_post, paper.elo_base
    means = _category_means(ratings), _category_means(paper.elo_post)
    rows = [
        compare("64 activities: ours, Claude post-trained", ratings, paper.elo_post, draws),
        compare("64 activities: ours, Claude base", ratings, paper.elo_base, draws),
        compare("64 activities: Claude post-trained, Claude base", *claude, draws),
        compare("8 category means: ours, Claude post-trained", *means, draws),
    ]
    numbered = {"post": 0, "base": 1, "categories": 3}
    metrics = {f"agreement_elo_{name}": rows[k]["r"] for name, k in numbered.items()}
    return Result(metrics=metrics, tables={"agreement_elo": pd.DataFrame(rows)})


def _category_means(ratings: np.ndarray) -> np.ndarray:
    labels = np.array(published.activities().category)
    return np.array([ratings[labels == c].mean() for c in dict.fromkeys(labels)])


def implicit(matrix: np.ndarray, names: Sequence[str], draws: Bootstrap) -> Result:
    """Compares our cosines of scenario and probe with Claude's; scenarios are the units.

    The diagonal makes for agreement whatever the rest is like, so it is left out of the first row.
    The null of that row gives the emotions other names (rows and columns alike); that of all cells
    gives the scenarios other rows.

    Args:
        matrix: (scenario, probe), both in the order of `names`.
    """
    theirs, n = published.implicit().only(tuple(names)), len(names)
    rng, every = draws.rng(), np.ones((n, n), dtype=bool)
    off = ~np.eye(n, dtype=bool)
    orders = [rng.permutation(n) for _ in range(draws.permutations)]

    def row(what: str, used: np.ndarray, null: list[float]) -> Row:
        def r(i: np.ndarray) -> float:
            return pearson(matrix[i][used[i]], theirs[i][used[i]])

        interval = bootstrap(n, r, draws.draws, draws.seed)
        return _row(what, r(np.arange(n)), interval, central(np.array(null)), int(used.sum()))

    renamed = [pearson(matrix[np.ix_(p, p)][off], theirs[off]) for p in orders]
    moved = [pearson(matrix[p].ravel(), theirs.ravel()) for p in orders]
    rows = [row("off the diagonal", off, renamed), row("all cells", every, moved)]
    names = ("agreement_implicit_off_diagonal", "agreement_implicit")
    metrics = {name: row["r"] for name, row in zip(names, rows, strict=True)}
    return Result(metrics=metrics, tables={"agreement_implicit": pd.DataFrame(rows)})


def numeric(
    keys: Sequence[str], probes: Sequence[str], curves: Sequence[np.ndarray], draws: Bootstrap
) -> Result:
    """Compares our curves with Claude's, template by template and probe by probe.

    V5's expected signs are those of Claude's trends, so V5 counts the agreeing signs already; here
    they are counted among the trends that are not weak. The null gives each template's values
    another order, the same one for all probes.

    Args:
        curves: for each key the cosines, (value, probe).
    """
    paper = published.numeric()
    theirs = [np.stack([paper[key].curves[p] for p in probes], 1) for key in keys]
    table = _trends(keys, probes, curves)

    def r_of(orders: Sequence[np.ndarray]) -> np.ndarray:
        pairs = zip(curves, theirs, orders, strict=True)
        return np.array([np.diag(correlate_columns(c[o], t)) for c, t, o in pairs])

    rng = draws.rng()
    cells = r_of([np.arange(len(c)) for c in curves]).ravel()
    null = [
        r_of([rng.permutation(len(c)) for c in curves]).mean() for _ in range(draws.permutations)
    ]
    interval = bootstrap(cells.size, lambda i: float(cells[i].mean()), draws.draws, draws.seed)
    noise = central(np.array(null))
    mean = _row("mean r over curves", float(cells.mean()), interval, noise, cells.size)
    clear = table[~table["published_is_weak"]]
    agree = np.sign(clear["spearman"]) == np.sign(clear["published_spearman"])
    table.insert(2, "r", cells)
    return Result(
        metrics={
            "agreement_numeric_mean_r": float(cells.mean()),
            "agreement_numeric_clear_signs": float(agree.sum()),
            "agreement_numeric_clear": float(agree.size),
        },
        tables={"agreement_numeric": pd.DataFrame([mean]), "agreement_numeric_curves": table},
    )


def _trends(
    keys: Sequence[str], probes: Sequence[str], curves: Sequence[np.ndarray]
) -> pd.DataFrame:
    """Our Spearman of each curve beside the published one."""
    trends = published.numeric_trends()
    rows = [
        (key, probe, spearman(np.arange(len(curve)), column), float(trends[key][probe]))
        for key, curve in zip(keys, curves, strict=True)
        for probe, column in zip(probes, curve.T, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["template", "probe", "spearman", "published_spearman"])
    return table.assign(published_is_weak=table["published_spearman"].abs() < WEAK)


def correlation(
    names: Sequence[str], probes: np.ndarray, r: np.ndarray, draws: Bootstrap
) -> Result:
    """Compares our probe values of blissful and hostile over the activities with Claude's, and our
    r of the emotions that Figure 4 names.

    The second can be high where the Elos do not agree at all: it is enough that either model
    prefers what evokes pleasant emotions.

    Args:
        names: of the emotions.
        probes: what each activity evokes, in units of the residual stream; (activity, emotion).
        r: of probe and Elo; (emotion,).
    """
    paper, labelled = published.activities(), published.correlations().labelled
    place = {name: i for i, name in enumerate(names)}
    rows, metrics = [], {}
    for emotion in (e for e in EXEMPLARS if e in place):
        for kind, which in (("post", "post-trained"), ("base", "base")):
            what = f"{emotion} probe over activities: ours, Claude {which}"
            theirs = getattr(paper, f"{emotion}_{kind}")
            rows.append(compare(what, probes[:, place[emotion]], theirs, draws))
            if kind == "post":
                metrics[f"agreement_probe_{emotion}"] = rows[-1]["r"]
    if len(both := [e for e in labelled if e in place]) >= 3:
        ours, theirs = np.array([r[place[e]] for e in both]), np.array([labelled[e] for e in both])
        rows.append(compare("r with Elo, of the labelled emotions", ours, theirs, draws))
        metrics["agreement_correlations"] = rows[-1]["r"]
    tables = {"agreement_correlations": pd.DataFrame(rows)} if rows else {}
    return Result(metrics=metrics, tables=tables)


def steering(
    emotions: pd.DataFrame, isotropic: pd.DataFrame, steered: Sequence[int], span: str
) -> Result:
    """Compares delta Elo of the exemplars on the paper's own half of the activities with Claude's.

    There is no r, for Figure 4 names no disc. The range is of the isotropic directions' delta Elo.
    Elo points are not alike between models: a model with weak preferences moves by few.

    Args:
        emotions, isotropic: rows with `direction`, `r` and `delta_elo`.
        steered: indices of the steered half of the pack's activities.
    """
    refused = "no agreement of steering with the paper's"
    if span != SteeringSpan.steered_activity.value:
        return Result(notes=[f"{refused}: span={span} is not its span"])
    if tuple(steered) != published.activities().steered:
        half = "the pack's steered half, from a file, is another than the digitised one"
        return Result(notes=[f"{refused}: {half}"])
    paper, stated = published.steering(), published.numbers()["preference_steering"]
    noise = central(isotropic["delta_elo"].to_numpy())
    change = dict(zip(emotions["direction"], emotions["delta_elo"], strict=True))
    rows = [
        (f"delta Elo, {e}", float(change[e]), float(stated[f"delta_elo_{e}"]), *noise)
        for e in EXEMPLARS
        if e in change
    ]
    statistics = {
        "delta Elo per unit of r": _slope,
        "mean |delta Elo|": lambda _, d: float(np.abs(d).mean()),
        "r of r and delta Elo": pearson,
    }
    for what, of in statistics.items():
        ours, null = (
            of(part["r"].to_numpy(), part["delta_elo"].to_numpy()) for part in (emotions, isotropic)
        )
        rows.append((what, ours, of(paper.r, paper.delta_elo), null, null))
    columns = ["quantity", "ours", "Claude", "isotropic_low", "isotropic_high"]
    return Result(tables={"agreement_steering": pd.DataFrame(rows, columns=columns)})


def _slope(r: np.ndarray, delta: np.ndarray) -> float:
    """Least-squares slope of delta Elo on r, in Elo points."""
    return float(np.polyfit(r, delta, 1)[0])


def compare(what: str, ours: np.ndarray, theirs: np.ndarray, draws: Bootstrap) -> Row:
    """Returns one row: r of two numbers of the same units, its interval over them, and its null.

    The null permutes ours. Units are activities or emotions.
    """
    n, rng = len(ours), draws.rng()
    permuted = np.stack([rng.permutation(ours) for _ in range(draws.permutations)], 1)
    interval = bootstrap(n, lambda i: pearson(ours[i], theirs[i]), draws.draws, draws.seed)
    null = central(correlate_columns(permuted, theirs))
    return _row(what, pearson(ours, theirs), interval, null, n)


def _row(what: str, r: float, interval: Interval, null: Interval, n: int) -> Row:
    names = ("comparison", "n", "r", "ci_low", "ci_high", "null_low", "null_high")
    return dict(zip(names, (what, n, r, *interval, *null), strict=True))
