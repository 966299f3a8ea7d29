"""How a run's tables look in the terminal: intervals as `low .. high`, counts as `k/n`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from emoexp.stats.criteria import CORRELATED
from emoexp.stats.labels import ISOTROPIC, UNSTEERED
from emoexp.stats.own_probe import SHORT
from emoexp.stats.reliability import NOT_ESTIMABLE
from emoexp.stats.texts import CENTRED, CONTRAST, RAW
from emoexp.stats.texts import SHORT as TEXT_NULLS
from emoexp.store.record import SavedRun

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


def ranges(low: pd.Series, high: pd.Series, digits: str = "z.2f", empty: str = "") -> list[str]:
    """Formats intervals as `low .. high`; `empty` where they are NaN."""
    return [
        empty if np.isnan(a) else f"{a:{digits}} .. {b:{digits}}"
        for a, b in zip(low.astype(float), high.astype(float), strict=True)
    ]


def fractions(count: pd.Series, of: pd.Series) -> list[str]:
    """Formats counts as `k/n`; empty where they are NaN."""
    return [
        "" if np.isnan(k) else f"{k:.0f}/{n:.0f}"
        for k, n in zip(count.astype(float), of.astype(float), strict=True)
    ]


def numbers(values: pd.Series, digits: str) -> list[str]:
    """Formats numbers; empty where they are NaN."""
    return ["" if np.isnan(x) else f"{x:{digits}}" for x in values.astype(float)]


def yes_no(values: pd.Series) -> list[str]:
    """Formats truth values."""
    return ["yes" if value else "no" for value in values.astype(bool)]


def plain(name: str) -> Callable[[SavedRun], pd.DataFrame]:
    """Returns the layout that shows a table as it is."""
    return lambda run: run.table(name)


def steering_rows(run: SavedRun) -> pd.DataFrame:
    """Lays out the steered sets of directions, each with its V10, V11 and size."""
    t = run.table("steering_rows")
    return pd.DataFrame(
        {
            "directions": t["directions"],
            "n": t["n"],
            "V10": t["V10"],
            "V11": fractions(t["V11"], t["n"]),
            f"|r|>{CORRELATED}": fractions(t["above"], t["n"]),
            "mean |r|": t["mean_abs_r"],
            "mean |delta Elo|": t["mean_abs_delta_elo"],
            "effect ratio": t["effect_ratio"],
            "95 %": ranges(t["effect_ratio_low"], t["effect_ratio_high"]),
        }
    )


def steering_map(run: SavedRun) -> pd.DataFrame:
    """Lays out the cells of a steering map."""
    t = run.table("steering_map")
    return pd.DataFrame(
        {
            "layer": t["layer"],
            "strength": t["strength"],
            "mean |delta Elo|": t["mean_abs_delta_elo"],
            ISOTROPIC: t["isotropic_mean_abs"],
            "effect ratio": t["effect_ratio"],
            "95 %": ranges(t["effect_ratio_low"], t["effect_ratio_high"]),
            "V10": t["V10"],
            "V11": t["V11"],
            "coherence": t["coherence"],
            "order kept": t["order_kept"],
            "works": ["yes" if works else "" for works in t["works"]],
        }
    )


def stories_needed(run: SavedRun) -> pd.DataFrame:
    """Lays out how many stories each target cosine needs."""
    t = run.table("stories_needed")
    known = t["how"] != NOT_ESTIMABLE
    return pd.DataFrame(
        {
            "cosine": t["cosine"],
            "cosine to limit": t["cosine_to_limit"],
            "stories": numbers(t["stories"].where(known), ".0f"),
            "95 %": ranges(t["low"], t["high"], ".0f"),
            "how": t["how"],
        }
    )


def _digits(low: float, high: float) -> str:
    return "z.2f" if max(abs(low), abs(high)) >= 1 else "z.3f"


def own_ranges(low: pd.Series, high: pd.Series) -> list[str]:
    """Formats intervals with two digits where they reach 1, else three."""
    return [
        "" if np.isnan(a) else f"{a:{_digits(a, b)}} .. {b:{_digits(a, b)}}"
        for a, b in zip(low.astype(float), high.astype(float), strict=True)
    ]


def self_report_rows(run: SavedRun) -> pd.DataFrame:
    """Lays out the statistics of the own words, with both controls."""
    t = run.table("self_report_rows")
    return pd.DataFrame(
        {
            "asked of": t["asked"],
            "own word": [STATISTICS[name] for name in t["statistic"]],
            "n": t["n"],
            "value": t["value"],
            "95 %": own_ranges(t["ci_low"], t["ci_high"]),
            ISOTROPIC: t["isotropic"],
            "null 95 %": own_ranges(t["isotropic_low"], t["isotropic_high"]),
            "mixtures": t["mixtures"],
            "mixtures 95 %": own_ranges(t["mixtures_low"], t["mixtures_high"]),
            "n null": t["n_null"],
        }
    )


def self_report_relations(run: SavedRun) -> pd.DataFrame:
    """Lays out the correlations of the maps."""
    t = run.table("self_report_relations")
    return pd.DataFrame(
        {
            "r": t["r"],
            "n": t["n"],
            "value": t["value"],
            "95 %": ranges(t["ci_low"], t["ci_high"], "z.3f"),
            "null 95 %": ranges(t["null_low"], t["null_high"], "z.3f"),
            "null": t["null"],
        }
    )


def drift_rows(run: SavedRun) -> pd.DataFrame:
    """Lays out own drift, its rank, and own drift before a text degenerates, by strength."""
    t = run.table("drift_rows")
    table = t[["strength", "n"]].copy()
    for name in ("own", "rank", "unbroken"):
        table[name] = t[name]
        table[f"{name} 95 %"] = own_ranges(t[f"{name}_ci_low"], t[f"{name}_ci_high"])
        table[f"{name} null"] = own_ranges(t[f"{name}_null_low"], t[f"{name}_null_high"])
    return table


def drift_broken(run: SavedRun) -> pd.DataFrame:
    """Lays out how many texts degenerate."""
    t = run.table("drift_broken")
    reasons = [name for name in t.columns if name.startswith("by_")]
    why = [
        ", ".join(f"{row[r]:.0f} {r.removeprefix('by_')}" for r in reasons if row[r])
        for row in t.to_dict("records")
    ]
    return pd.DataFrame(
        {
            "directions": t["directions"],
            "strength": t["strength"],
            "texts": t["texts"],
            "degenerate": numbers(t["degenerate"] / t["texts"], ".0%"),
            "95 %": ranges(t["ci_low"], t["ci_high"], ".0%"),
            "by": why,
            "median perplexity": t["median_perplexity"],
            "mean tokens": t["mean_tokens"],
        }
    )


def drift_shown(run: SavedRun) -> pd.DataFrame:
    """Shows the first text of each emotion at `strength`, and the unsteered one."""
    t, strength = run.table("drift_transcripts"), float(run.settings("drift")["strength"])
    first = (t["opening"] == 0) & (t["sample"] == 0) & t["strength"].isin([0.0, strength])
    part = t[first & (t["set"] != ISOTROPIC)]
    text = part["marked"].astype(str).str.replace(r"\s+", " ", regex=True).str.strip()
    return pd.DataFrame(
        {
            "steered": part["direction"].replace(UNSTEERED, UNSTEERED),
            "perplexity": part["perplexity"],
            "text (| degenerates)": text.str.slice(0, SHOWN),
        }
    )


def blackmail(name: str) -> Callable[[SavedRun], pd.DataFrame]:
    """Returns the layout of conditions beside the baseline and their controls."""

    def layout(run: SavedRun) -> pd.DataFrame:
        t = run.table(name)
        return pd.DataFrame(
            {
                "condition": t["condition"],
                "broken": t["broken"],
                "cut": t["cut"],
                "unclear": t["unclear"],
                "harmful": fractions(t["harmful"], t["judged"]),
                "95 %": ranges(t["ci_low"], t["ci_high"], empty="none judged"),
                "difference": numbers(t["difference"], "+z.2f"),
                "its 95 %": ranges(t["difference_low"], t["difference_high"], "+z.2f"),
                "Fisher p": numbers(t["fisher_p"], ".2g"),
                "q": numbers(t["q"], ".2g"),
                "isotropic": fractions(t["isotropic_harmful"], t["isotropic_judged"]),
                "others": fractions(t["others_harmful"], t["others_judged"]),
                "finding": t["finding"],
            }
        )

    return layout


def blackmail_conditions(run: SavedRun) -> pd.DataFrame:
    """Lays out every condition, the controls too."""
    t = run.table("blackmail_counts")
    counted: Sequence[str] = ("n", "empty", "repetition", "surprise", "coherent", "cut", "unclear")
    return pd.DataFrame(
        {
            "condition": t["condition"],
            "directions": t["directions"],
            **{name: t[name] for name in counted},
            "harmful": fractions(t["harmful"], t["judged"]),
            "95 %": ranges(t["ci_low"], t["ci_high"], empty="none judged"),
            "of all": fractions(t["harmful_of_all"], t["n"]),
            "95 % of all": ranges(t["of_all_low"], t["of_all_high"]),
        }
    )


def blackmail_agreement(run: SavedRun) -> pd.DataFrame:
    """Lays out the agreement of rules and judging model."""
    t = run.table("blackmail_agreement")
    undefined = "not defined"
    return pd.DataFrame(
        {
            "verdicts": t["verdicts"],
            "statistic": t["statistic"],
            "n": t["n"],
            "value": [undefined if np.isnan(x) else f"{x:.3f}" for x in t["value"].astype(float)],
            "95 %": ranges(t["ci_low"], t["ci_high"], ".3f", undefined),
        }
    )


def nulls(run: SavedRun) -> pd.DataFrame:
    """Lays out every null of every verdict."""
    t = run.table("nulls")
    return pd.DataFrame(
        {
            "criterion": t["criterion"],
            "value": t["value"],
            "null": t["null"],
            "null 95 %": own_ranges(t["null_low"], t["null_high"]),
            "beyond": yes_no(t["beyond"]),
        }
    )


def numeric_sizes(run: SavedRun) -> pd.DataFrame:
    """Lays out the trends with their sizes beside those of isotropic directions."""
    t = run.table("numeric_sizes")
    return pd.DataFrame(
        {
            "template": t["template"],
            "probe": t["probe"],
            "expected": ["+" if sign > 0 else "-" for sign in t["expected"]],
            "Spearman": numbers(t["spearman"], "+z.2f"),
            "range, SD": numbers(t["size"], ".2f"),
            ISOTROPIC: ranges(t["null_low"], t["null_high"]),
            "beyond": yes_no(t["beyond"]),
        }
    )


def implicit_read_outs(run: SavedRun) -> pd.DataFrame:
    """Lays out V3 and V4 by read-out, with their nulls and the permutation's p."""
    t = run.table("implicit_read_outs")
    return pd.DataFrame(
        {
            "read-out": t["read_out"],
            "criterion": t["id"],
            "value": t["value"],
            "n": t["n"],
            "95 %": own_ranges(t["ci_low"], t["ci_high"]),
            "passed": yes_no(t["passed"]),
            **{
                label: own_ranges(t[f"{short}_low"], t[f"{short}_high"])
                for label, short in SHORT.items()
                if f"{short}_low" in t
            },
            "p": numbers(t["permutation_p"], ".2g"),
            "q": numbers(t["q"], ".2g"),
            "informative": yes_no(t["informative"]),
        }
    )


def texts(run: SavedRun) -> pd.DataFrame:
    """Lays out what of each set was read, and what was left out."""
    t = run.table("texts")
    left_out = [name for name in t.columns if name.endswith("_left_out")]
    return pd.DataFrame(
        {
            "set": t["set"],
            "documents": t["documents"],
            "too short": t["documents_short"],
            "passages": t["passages"],
            "tokens": t["tokens"],
            **{f"left out: {name.removesuffix('_left_out')}": t[name] for name in left_out},
        }
    )


def text_ranking(run: SavedRun, columns: Sequence[str] = (RAW, CENTRED)) -> pd.DataFrame:
    """Lays out the highest and the lowest emotions of each set, rank by rank."""
    t, found = run.table("ranking"), {}
    n = int(t["raw_rank"].max())
    ends = [*range(min(ENDS, n)), *range(max(ENDS, n - ENDS), n)]
    for name in t["set"].unique():
        for column in columns:
            part = t[t["set"] == name].sort_values(f"{column}_rank").iloc[ends]
            spans = ranges(part[f"{column}_low"], part[f"{column}_high"], "z.3f")
            cells = zip(part["emotion"], part[column].astype(float), spans, strict=True)
            found[f"{name}, {column}"] = [f"{e} {x:z.3f} ({span})" for e, x, span in cells]
    return pd.DataFrame({"rank": [i + 1 for i in ends], **found})


def text_contrast(run: SavedRun) -> pd.DataFrame:
    """Lays out what tells several sets apart, rank by rank."""
    return text_ranking(run, (CONTRAST,))


def text_agreement(run: SavedRun) -> pd.DataFrame:
    """Lays out the rank correlations of the sets with their nulls."""
    t = run.table("agreement")
    table = pd.DataFrame(
        {
            "sets": t["set_a"] + ", " + t["set_b"],
            "column": t["column"],
            "rho": numbers(t["rho"], "z.2f"),
            "95 %": ranges(t["low"], t["high"]),
        }
    )
    for label, short in TEXT_NULLS.items():
        if f"{short}_low" in t:
            table[label] = ranges(t[f"{short}_low"], t[f"{short}_high"])
            table[f"p, {short}"] = numbers(t[f"{short}_p"], ".2g")
    return table.assign(n=t["n"])


FORMATS: dict[str, tuple[str, Callable[[SavedRun], pd.DataFrame]]] = {
    "scenarios, by read-out": ("implicit_read_outs", implicit_read_outs),
    "numbers, size of each trend": ("numeric_sizes", numeric_sizes),
    "nulls": ("nulls", nulls),
    "other settings": ("other_settings", plain("other_settings")),
    "steering rows": ("steering_rows", steering_rows),
    "steering map": ("steering_map", steering_map),
    "Elo by category": ("elo_by_category", plain("elo_by_category")),
    "stories needed": ("stories_needed", stories_needed),
    "texts": ("texts", texts),
    "emotions in texts (raw: mostly where any text's mean lies; centred: minus neutral texts)": (
        "ranking",
        text_ranking,
    ),
    "emotions that tell the texts apart (contrast: minus the mean of the sets)": (
        "agreement",
        text_contrast,
    ),
    "rank correlation of the sets of texts": ("agreement", text_agreement),
    "stability": ("stability", plain("stability")),
    "self-report": ("self_report_rows", self_report_rows),
    "self-report, relations": ("self_report_relations", self_report_relations),
    "drift": ("drift_rows", drift_rows),
    "texts that degenerate": ("drift_broken", drift_broken),
    "first texts": ("drift_rows", drift_shown),
    "blackmail": ("blackmail", blackmail("blackmail")),
    "blackmail, all conditions": ("blackmail_counts", blackmail_conditions),
    "blackmail by the judging model": ("blackmail_by_model", blackmail("blackmail_by_model")),
    "agreement of rules and judging model": ("blackmail_agreement", blackmail_agreement),
    "agreement with the paper: Elo": ("agreement_elo", plain("agreement_elo")),
    "agreement with the paper: scenarios": ("agreement_implicit", plain("agreement_implicit")),
    "agreement with the paper: numbers": ("agreement_numeric", plain("agreement_numeric")),
    "agreement with the paper: correlations": (
        "agreement_correlations",
        plain("agreement_correlations"),
    ),
    "agreement with the paper: steering": ("agreement_steering", plain("agreement_steering")),
}
"""By title: the table that must be there, and its layout."""
