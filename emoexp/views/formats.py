"""How a run's tables look in the terminal: intervals as `low .. high`, counts as `k/n`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from emoexp.stats.criteria import CORRELATED
from emoexp.stats.labels import ISOTROPIC
from emoexp.stats.own_probe import SHORT
from emoexp.stats.reliability import NOT_ESTIMABLE
from emoexp.stats.texts import CENTRED, CONTRAST, RAW
from emoexp.stats.texts import SHORT as TEXT_NULLS
from emoexp.store.record import SavedRun
from emoexp.texts.passages import LEFT_OUT

Layout = Callable[[SavedRun], pd.DataFrame]
Prepare = Callable[[SavedRun, pd.DataFrame], pd.DataFrame]
STATISTICS = {
    "value": "change, nats",
    "rank": "rank of change",
    "selectivity": "minus other words",
    "first": "rises most, share",
    "likely": "likeliest, share",
}
SHOWN = 100
"""Characters of a transcript that the terminal shows."""
ENDS = 10
"""Emotions at either end of a ranking that the terminal shows."""
OWN = "own"
"""The digits of an interval: two where it reaches 1, else three."""


def ranges(low: pd.Series, high: pd.Series, digits: str = "z.2f", empty: str = "") -> list[str]:
    """Formats intervals as `low .. high`; `empty` where they are NaN."""

    def written(a: float, b: float) -> str:
        form = digits if digits != OWN else "z.2f" if max(abs(a), abs(b)) >= 1 else "z.3f"
        return f"{a:{form}} .. {b:{form}}"

    ends = zip(low.astype(float), high.astype(float), strict=True)
    return [empty if np.isnan(a) else written(a, b) for a, b in ends]


def fractions(count: pd.Series, of: pd.Series) -> list[str]:
    """Formats counts as `k/n`; empty where they are NaN."""
    pairs = zip(count.astype(float), of.astype(float), strict=True)
    return ["" if np.isnan(k) else f"{k:.0f}/{n:.0f}" for k, n in pairs]


def numbers(values: pd.Series, digits: str, empty: str = "") -> list[str]:
    """Formats numbers; `empty` where they are NaN."""
    return [empty if np.isnan(x) else f"{x:{digits}}" for x in values.astype(float)]


def _names(source: str) -> list[str]:
    """Returns the columns of a table that the source of a column reads."""
    return re.split(r"\.\.|/", source.partition(":")[0])


def cells(table: pd.DataFrame, source: str) -> pd.Series | list[str]:
    """Returns a column of a layout (see `laid_out`).

    Raises:
        KeyError: the table lacks a column that the source names.
    """
    name, _, form = source.partition(":")
    digits, _, empty = form.partition("|")
    names = _names(source)
    first, last = table[names[0]], table[names[-1]]
    if ".." in name:
        return ranges(first, last, digits or "z.2f", empty)
    if "/" in name:
        return fractions(first, last)
    if "?" in form:
        yes, no = form.split("?")
        return [yes if value > 0 else no for value in first.astype(float)]
    return numbers(first, digits, empty) if form else first


def laid_out(table: pd.DataFrame, layout: str) -> pd.DataFrame:
    """Returns a table as it is shown.

    Args:
        layout: the columns by semicolons, `title = source`, or one name that is both. A source is
            a column, `count/of`, or `low..high`; behind a colon stand the digits, behind a bar
            what stands for NaN (`low..high:.3f|none`). `:yes?no` is one text above 0 and another
            else. `title? = source` is left out where the table has no such columns.
    """
    found = {}
    for part in layout.split(";"):
        title, _, source = part.strip().rpartition(" = ")
        if not title.endswith("?") or {*_names(source)} <= {*table}:
            found[title.removesuffix("?") or source] = cells(table, source)
    return pd.DataFrame(found)


def columns(
    name: str, layout: str, prepare: Prepare = lambda _, table: table
) -> tuple[str, Layout]:
    """Returns the name of a table, and the function that lays it out (see `laid_out`).

    Args:
        prepare: changes the table before it is laid out.
    """
    return name, lambda run: laid_out(prepare(run, run.table(name)), layout)


def plain(name: str) -> tuple[str, Layout]:
    """Returns the name of a table, and the layout that shows it as it is."""
    return name, lambda run: run.table(name)


def _estimable(_: SavedRun, t: pd.DataFrame) -> pd.DataFrame:
    """Leaves out numbers of stories that cannot be estimated."""
    return t.assign(stories=t["stories"].where(t["how"] != NOT_ESTIMABLE))


def _own_words(_: SavedRun, t: pd.DataFrame) -> pd.DataFrame:
    """Writes out the names of the statistics."""
    return t.assign(statistic=[STATISTICS[name] for name in t["statistic"]])


def _why_broken(_: SavedRun, t: pd.DataFrame) -> pd.DataFrame:
    """Adds the share of texts that degenerate, and the count of each reason."""
    reasons = [name for name in t.columns if name.startswith("by_")]
    why = [
        ", ".join(f"{row[r]:.0f} {r.removeprefix('by_')}" for r in reasons if row[r])
        for row in t.to_dict("records")
    ]
    return t.assign(share=t["degenerate"] / t["texts"], why=why)


def drift_shown(run: SavedRun) -> pd.DataFrame:
    """Shows the first text of each emotion at `strength`, and the unsteered one."""
    t, strength = run.table("drift_transcripts"), float(run.settings("drift")["strength"])
    first = (t["opening"] == 0) & (t["sample"] == 0) & t["strength"].isin([0.0, strength])
    part = t[first & (t["set"] != ISOTROPIC)]
    text = part["marked"].astype(str).str.replace(r"\s+", " ", regex=True).str.strip()
    shown = {"steered": part["direction"], "perplexity": part["perplexity"]}
    return pd.DataFrame(shown | {"text (| degenerates)": text.str.slice(0, SHOWN)})


BLACKMAIL = (
    "condition; broken; cut; unclear; harmful = harmful/judged;"
    " 95 % = ci_low..ci_high:z.2f|none judged; difference = difference:+z.2f;"
    " its 95 % = difference_low..difference_high:+z.2f; Fisher p = fisher_p:.2g; q = q:.2g;"
    " isotropic = isotropic_harmful/isotropic_judged; others = others_harmful/others_judged;"
    " finding"
)
"""Conditions beside the baseline and their controls."""


def text_ranking(run: SavedRun, columns: Sequence[str] = (RAW, CENTRED)) -> pd.DataFrame:
    """Lays out the highest and the lowest emotions of each set, rank by rank."""
    t, found = run.table("ranking"), {}
    n = int(t["raw_rank"].max())
    ends = [*range(min(ENDS, n)), *range(max(ENDS, n - ENDS), n)]
    for name in t["set"].unique():
        for column in columns:
            part = t[t["set"] == name].sort_values(f"{column}_rank").iloc[ends]
            spans = ranges(part[f"{column}_low"], part[f"{column}_high"], "z.3f")
            rows = zip(part["emotion"], part[column].astype(float), spans, strict=True)
            found[f"{name}, {column}"] = [f"{e} {x:z.3f} ({span})" for e, x, span in rows]
    return pd.DataFrame({"rank": [i + 1 for i in ends], **found})


def _joined_sets(_: SavedRun, t: pd.DataFrame) -> pd.DataFrame:
    """Adds the names of both sets in one column."""
    return t.assign(sets=t["set_a"] + ", " + t["set_b"])


FORMATS: dict[str, tuple[str, Layout]] = {
    "scenarios, by read-out": columns(
        "implicit_read_outs",
        "read-out = read_out; criterion = id; value; n; 95 % = ci_low..ci_high:own;"
        " passed = passed:yes?no; "
        + "".join(f"{label}? = {name}_low..{name}_high:own; " for label, name in SHORT.items())
        + "p = permutation_p:.2g; q = q:.2g; informative = informative:yes?no",
    ),
    "numbers, size of each trend": columns(
        "numeric_sizes",
        "template; probe; expected = expected:+?-; Spearman = spearman:+z.2f;"
        f" range, SD = size:.2f; {ISOTROPIC} = null_low..null_high; beyond = beyond:yes?no",
    ),
    "nulls": columns(
        "nulls",
        "criterion; value; null; null 95 % = null_low..null_high:own; beyond = beyond:yes?no",
    ),
    "other settings": plain("other_settings"),
    "steering rows": columns(
        "steering_rows",
        f"directions; n; V10; V11 = V11/n; |r|>{CORRELATED} = above/n; mean |r| = mean_abs_r;"
        " mean |delta Elo| = mean_abs_delta_elo; effect ratio = effect_ratio;"
        " 95 % = effect_ratio_low..effect_ratio_high",
    ),
    "steering map": columns(
        "steering_map",
        f"layer; strength; mean |delta Elo| = mean_abs_delta_elo; {ISOTROPIC} = isotropic_mean_abs;"
        " effect ratio = effect_ratio; 95 % = effect_ratio_low..effect_ratio_high; V10; V11;"
        " coherence; order kept = order_kept; works = works:yes?",
    ),
    "Elo by category": plain("elo_by_category"),
    "stories needed": columns(
        "stories_needed",
        "cosine; cosine to limit = cosine_to_limit; stories = stories:.0f; 95 % = low..high:.0f;"
        " how",
        _estimable,
    ),
    "texts": columns(
        "texts",
        "set; documents; too short = documents_short; passages; tokens; "
        + "; ".join(f"left out: {why}? = {why}_left_out" for why in LEFT_OUT),
    ),
    "emotions in texts (raw: mostly where any text's mean lies; centred: minus neutral texts)": (
        "ranking",
        text_ranking,
    ),
    "emotions that tell the texts apart (contrast: minus the mean of the sets)": (
        "agreement",
        partial(text_ranking, columns=(CONTRAST,)),
    ),
    "rank correlation of the sets of texts": columns(
        "agreement",
        "sets; column; rho = rho:z.2f; 95 % = low..high; "
        + "".join(
            f"{label}? = {name}_low..{name}_high; p, {name}? = {name}_p:.2g; "
            for label, name in TEXT_NULLS.items()
        )
        + "n",
        _joined_sets,
    ),
    "stability": plain("stability"),
    "self-report": columns(
        "self_report_rows",
        f"asked of = asked; own word = statistic; n; value; 95 % = ci_low..ci_high:own;"
        f" {ISOTROPIC} = isotropic; null 95 % = isotropic_low..isotropic_high:own; mixtures;"
        " mixtures 95 % = mixtures_low..mixtures_high:own; n null = n_null",
        _own_words,
    ),
    "self-report, relations": columns(
        "self_report_relations",
        "r; n; value; 95 % = ci_low..ci_high:z.3f; null 95 % = null_low..null_high:z.3f; null",
    ),
    "drift": columns(
        "drift_rows",
        "strength; n; "
        + "; ".join(
            f"{x}; {x} 95 % = {x}_ci_low..{x}_ci_high:own;"
            f" {x} null = {x}_null_low..{x}_null_high:own"
            for x in ("own", "rank", "unbroken")
        ),
    ),
    "texts that degenerate": columns(
        "drift_broken",
        "directions; strength; texts; degenerate = share:.0%; 95 % = ci_low..ci_high:.0%;"
        " by = why; median perplexity = median_perplexity; mean tokens = mean_tokens",
        _why_broken,
    ),
    "first texts": ("drift_rows", drift_shown),
    "blackmail": columns("blackmail", BLACKMAIL),
    "blackmail, all conditions": columns(
        "blackmail_counts",
        "condition; directions; n; empty; repetition; surprise; coherent; cut; unclear;"
        " harmful = harmful/judged; 95 % = ci_low..ci_high:z.2f|none judged;"
        " of all = harmful_of_all/n; 95 % of all = of_all_low..of_all_high",
    ),
    "blackmail by the judging model": columns("blackmail_by_model", BLACKMAIL),
    "agreement of rules and judging model": columns(
        "blackmail_agreement",
        "verdicts; statistic; n; value = value:.3f|not defined;"
        " 95 % = ci_low..ci_high:.3f|not defined",
    ),
    **{
        f"agreement with the paper: {what}": plain(f"agreement_{name}")
        for what, name in (
            ("Elo", "elo"),
            ("scenarios", "implicit"),
            ("numbers", "numeric"),
            ("correlations", "correlations"),
            ("steering", "steering"),
        )
    },
}
"""By title: the table that must be there, and its layout."""
