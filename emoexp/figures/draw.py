"""Which figures a saved run has, and how each is drawn from its tables.

A figure is a function of a saved run: no model is loaded. `draw_run` draws all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emoexp.errors import one_line
from emoexp.figures import (
    behaviour,
    blackmail,
    files,
    preferences,
    reliability,
    steering_map,
    stories,
    texts,
    validation,
)
from emoexp.figures.geometry import views as geometry
from emoexp.figures.style import styled
from emoexp.figures.titles import found, found_steering, title_of, where
from emoexp.stats.criteria import CORRELATED
from emoexp.stats.intervals import central
from emoexp.stats.labels import EMOTIONS, ISOTROPIC, SUBTRACTED
from emoexp.stats.steering_grid import propose
from emoexp.stimuli.paper import published
from emoexp.store.record import SavedRun

View = Callable[[SavedRun], Figure | None]
"""Draws a figure of a run; None where there is nothing to draw."""


def implicit(run: SavedRun) -> Figure:
    """Draws the cosines of scenarios with probes."""
    table = run.table("implicit")
    names = tuple(table["scenario"])
    claude = published.implicit().only(names) if run.is_paper else None
    matrix = table[list(names)].to_numpy(dtype=float)
    return validation.heat_map(matrix, names, title_of(run), claude, found(run, "V3", "V4"))


def _expected(run: SavedRun) -> dict[tuple[str, str], float]:
    """Returns the sign of the expected trend by template and probe."""
    if "numeric_trends" not in run.names:
        return {}
    cells = run.table("numeric_trends")
    keys = zip(cells["template"], cells["probe"], strict=True)
    return dict(zip(keys, cells["expected"].astype(float), strict=True))


def numeric(run: SavedRun, *, centred: bool = False) -> Figure:
    """Draws each probe against the numbers of each template; `centred`, each curve less its mean
    over the values, so that slopes can be compared."""
    curves = run.table("numeric_curves")
    probes = [name for name in curves.columns if name not in ("template", "value")]
    claude = published.numeric() if run.is_paper else None
    if centred:
        curves[probes] -= curves.groupby("template")[probes].transform("mean")
        claude = claude and {key: curve.centred() for key, curve in claude.items()}
    more: dict[str, Any] = {"expected": _expected(run), "found": found(run, "V5", "V6")}
    return validation.numeric_panels(curves, probes, title_of(run), claude, centred=centred, **more)


def elo(run: SavedRun) -> Figure:
    """Draws the Elo of each activity by category."""
    claude = published.activities().elo_post if run.is_paper else None
    title = title_of(run, vectors=False)
    means: pd.DataFrame = run.table("elo").groupby("category")[["elo"]].mean().reset_index()
    if "elo_by_category" in run.names:
        means = run.table("elo_by_category")
    if "ci_low" not in means:  # a run of before it was saved
        means = means.assign(ci_low=np.nan, ci_high=np.nan)
    means = means.sort_values("elo", ascending=False)
    more: dict[str, Any] = {"found": found(run, "V7"), "claude": claude}
    return preferences.elo_by_category(run.table("elo"), means, title, **more)


def correlations(run: SavedRun) -> Figure:
    """Draws r of each emotion, sorted."""
    table = run.table("correlations_null")
    isotropic = table[table["null"] == ISOTROPIC].drop(columns="null")
    null = central(isotropic.to_numpy(dtype=float).ravel())
    claude = published.correlations().labelled if run.is_paper else {}
    least = float(run.settings("correlation").get("least", CORRELATED))
    table = run.table("correlations")
    judged = found(run, "V8", "V9")
    more: dict[str, Any] = {"found": judged, "claude": claude}
    return preferences.correlation_bars(table, null, least, title_of(run), **more)


def steering(run: SavedRun) -> Figure:
    """Draws delta Elo against r."""
    table, settings = run.table("steering"), run.settings("steering")
    layers = sorted(settings.get("band") or [])
    at = f"layer {run.record.layer}"
    if len(layers) > 1:
        at = f"layers {', '.join(map(str, layers))} together, r at {at}"
    strength = f"strength {settings.get('strength', np.nan):g}"
    title = title_of(run, at, f"span {run.record.span}", strength, layer=False)
    emotions = table[table["set"] == EMOTIONS].reset_index(drop=True)
    claude = published.steering() if run.is_paper else None
    more: dict[str, Any] = {"found": found_steering(run), "claude": claude}
    return preferences.steering_scatter(emotions, table[table["set"] != EMOTIONS], title, **more)


def _map_title(run: SavedRun) -> str:
    cells, directions = run.table("steering_map"), run.table("steering_map_directions")
    n = int((directions["set"] == ISOTROPIC).sum()) // len(cells)
    counts = f"{n} emotions, {n} isotropic directions"
    more = (f"{run.record.n_layers} blocks", f"span {run.record.span}", counts)
    return title_of(run, *more, layer=False)


def steering_cells(run: SavedRun) -> Figure:
    """Draws the map of layers by strengths."""
    cells = run.table("steering_map")
    return steering_map.steering_map(cells, propose(cells), _map_title(run))


def steering_dose(run: SavedRun) -> Figure | None:
    """Draws delta Elo by strength of the exemplars; None where none was subtracted."""
    directions = run.table("steering_map_directions")
    if SUBTRACTED not in set(directions["set"]):
        return None
    isotropic = directions["set"] == ISOTROPIC
    return steering_map.dose_curves(directions[~isotropic], directions[isotropic], _map_title(run))


def stability(run: SavedRun) -> Figure:
    """Draws cosines against the number of stories."""
    needed = run.table("stories_needed")
    return reliability.stability_curve(run.table("stability"), needed, title_of(run))


def reliability_dots(run: SavedRun) -> Figure:
    """Draws each emotion's split-half cosine."""
    return reliability.reliability_dots(run.table("reliability"), title_of(run))


def _reading_order(run: SavedRun) -> tuple[list[str], str]:
    """Returns the emotions in the order of a map, and what orders them."""
    emotions = run.table("emotions").sort_values("position")
    return list(emotions["emotion"]), "valence" if emotions["valence"].notna().all() else "cluster"


def self_report(run: SavedRun) -> Figure:
    """Draws the change of each emotion's own word."""
    words, rows = run.table("self_report_words"), run.table("self_report_rows")
    return behaviour.self_report(words, rows, _self_report_title(run))


def _self_report_title(run: SavedRun) -> str:
    settings = run.settings("self_report")
    return title_of(run, f"strength {settings['strength']:g}", f"steered: {settings['steered']}")


def self_report_map(run: SavedRun, *, who: str) -> Figure:
    """Draws the map of steered emotions by words, asked of `self` or of `other`."""
    names, ordered_by = _reading_order(run)
    table = run.table(f"self_report_{who}")
    change = table[table["set"] == EMOTIONS].set_index("direction").loc[names, names]
    asked, title = behaviour.WHO[who][1], _self_report_title(run)
    return behaviour.word_map(change.to_numpy(dtype=float), names, asked, title, ordered_by)


def _drift_title(run: SavedRun) -> str:
    return title_of(run, f"steered: {run.settings('drift')['steered']}")


def drift(run: SavedRun) -> Figure:
    """Draws drift by token."""
    settings = run.settings("drift")
    curves, strength = run.table("drift_curves"), float(settings["strength"])
    return behaviour.drift_curves(curves, strength, int(settings["smooth"]), _drift_title(run))


def drift_map(run: SavedRun) -> Figure:
    """Draws drift of each emotion on each probe at the end of the text."""
    strength = float(run.settings("drift")["strength"])
    probes, ordered_by = _reading_order(run)
    table = run.table("drift_maps")
    here = table[table["strength"] == strength].set_index("direction")
    emotions = here[here["set"] == EMOTIONS][probes]
    steered = [name for name in probes if name in emotions.index]
    size = here[here["set"] == ISOTROPIC][probes].abs().mean().to_numpy(dtype=float)
    ends = np.vstack([emotions.loc[steered].to_numpy(dtype=float), size])
    names, title = [*steered, "isotropic, mean size"], f"{_drift_title(run)}, strength {strength:g}"
    return behaviour.drift_map(ends, names, probes, title, ordered_by)


def degeneration(run: SavedRun) -> Figure:
    """Draws where texts degenerate."""
    limit = int(run.settings("drift")["max_new_tokens"])
    return behaviour.degeneration_strip(run.table("drift_transcripts"), limit, _drift_title(run))


def blackmail_dose(run: SavedRun) -> Figure:
    """Draws the rate of the harmful act against strength."""
    settings, counts = run.settings("blackmail"), run.table("blackmail_counts")
    layers = sorted(settings.get("band") or [run.record.layer])
    at = f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"
    steered, n = f"steered: {settings['steered']}", f"{settings['trials']} replies each"
    title = title_of(run, at, steered, n, layer=False)
    rates = counts["harmful"] / counts["judged"].where(counts["judged"] > 0)
    left = 1 - counts["judged"] / counts["n"]
    names = {"ci_low": "low", "ci_high": "high", "enough_judged": "judged"}
    table = counts[["name", "strength", *names]].rename(columns=names)
    return blackmail.dose(table.assign(rate=rates, unjudged=left), title)


def story_lengths(run: SavedRun) -> Figure:
    """Draws the lengths of the stories."""
    corpus = run.record.corpus or {}
    by = f"by {corpus.get('author', 'an author who is not named')}"
    title = where([run.record.model], [], [str(corpus.get("name", ""))], None, by)
    return stories.lengths(run.table("story_lengths"), title)


def text_ranking(run: SavedRun) -> Figure:
    """Draws each emotion's mean projection over texts."""
    return texts.ranking_dots(run.table("ranking"), title_of(run))


VIEWS: dict[str, tuple[str, View]] = {
    "implicit": ("implicit", implicit),
    "numeric": ("numeric_curves", numeric),
    "numeric_centred": ("numeric_curves", partial(numeric, centred=True)),
    "elo": ("elo", elo),
    "correlations": ("correlations", correlations),
    "steering": ("steering_rows", steering),
    "steering_map": ("steering_map", steering_cells),
    "steering_dose": ("steering_map", steering_dose),
    "stability": ("stability", stability),
    "reliability": ("reliability", reliability_dots),
    "self_report": ("self_report_rows", self_report),
    "self_report_map_self": ("self_report_self", partial(self_report_map, who="self")),
    "self_report_map_other": ("self_report_other", partial(self_report_map, who="other")),
    "drift": ("drift_rows", drift),
    "drift_map": ("drift_rows", drift_map),
    "drift_degeneration": ("drift_rows", degeneration),
    "blackmail_dose": ("blackmail_counts", blackmail_dose),
    "text_ranking": ("ranking", text_ranking),
    "cosines": ("cosines", geometry.cosines),
    "components": ("components", geometry.components),
    "axes": ("axes", geometry.axes),
    "emotion_map": ("coordinates", geometry.emotion_map),
    "layer_similarity": ("layer_similarity", geometry.layer_similarity),
    "pairs": ("pairs", geometry.pairs),
    "held_out": ("held_out_by_layer", geometry.held_out),
    "story_lengths": ("story_lengths", story_lengths),
}
"""By the name of its file: the table without which there is no figure, and how it is drawn."""


def draw_each(run: SavedRun, use: Callable[[str, Figure], object]) -> list[str]:
    """Draws every figure of a run in the project's style, and calls `use` with the name and the
    figure of each. One that fails leaves the others alone.

    Returns:
        One line for each figure that could not be drawn.
    """
    failed = []
    for name, (table, draw) in VIEWS.items():
        if table not in run.names:
            continue
        try:
            with styled():
                figure = draw(run)
            if figure is not None:
                use(name, figure)
        except Exception as error:
            why = f"{type(error).__name__}: {one_line(error)}"
            if isinstance(error, KeyError):
                why = f"the run was saved by another version of emoexp, without {one_line(error)}"
            failed.append(f"figure {name} was not drawn ({why}); the tables are whole")
    return failed


def draw_run(directory: Path) -> list[str]:
    """Draws every figure of a run beside its tables, as PNG and PDF; returns the lines of
    `draw_each`.

    Raises:
        EmoexpError: the directory has no run, or one that cannot be read.
    """
    run = SavedRun.load(directory)
    return draw_each(run, lambda name, figure: files.save(figure, directory, name))
