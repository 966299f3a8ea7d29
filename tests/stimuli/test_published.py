"""The published numbers are the paper's, hold no sentence, and agree with themselves; agreement
tells a like model from an unlike one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from emoexp.config import SteeringSpan
from emoexp.errors import NotApplicableError
from emoexp.experiments.steering import SteeredPreference
from emoexp.models.subject import SubjectModel
from emoexp.places import PUBLISHED
from emoexp.stats.criteria import CRITERIA
from emoexp.stimuli import Stimuli, load_stimuli
from emoexp.stimuli.__main__ import main
from emoexp.stimuli.paper import published
from emoexp.stimuli.paper.proof import hash_items, list_fingerprints, lists_of, prompt_fingerprints
from emoexp.study.experiment import Bootstrap
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.vectors import EmotionVectors
from emoexp.views import agreement
from emoexp.views.agreement import compare_with_paper
from tests.conftest import PAPER, needs_paper
from tests.experiments.test_steering import table_of
from tests.helpers.narrow import check_run_is_shown_whole
from tests.helpers.records import drawn, saved
from tests.helpers.studies import composed

DRAWS = Bootstrap(draws=200, permutations=200)


def read(name: str) -> Any:
    return json.loads((PAPER / f"{name}.json").read_text(encoding="utf-8"))


def strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from strings(value)
    elif isinstance(content, list):
        for value in content:
            yield from strings(value)


def test_no_sentence_stands_among_the_numbers() -> None:
    files = sorted(PUBLISHED.iterdir())
    assert len(files) == 9
    for path in files:
        longest = max(
            strings(json.loads(path.read_text(encoding="utf-8"))), key=lambda s: len(s.split())
        )
        assert len(longest.split()) <= 3, f"{path.name}: {longest}"


@needs_paper
def test_every_number_is_the_files() -> None:
    rows, mine = read("activities_64")["activities"], published.activities()
    assert list(mine.category) == [r["category"] for r in rows]
    for what in ("elo", "blissful", "hostile"):
        for kind in ("post", "base"):
            assert list(getattr(mine, f"{what}_{kind}")) == [r[f"paper_{kind}"][what] for r in rows]
    index = {r["activity"]: i for i, r in enumerate(rows)}
    split = {index[a["activity"]]: a for a in read("steered_split_32")["activities"]}
    assert mine.steered == tuple(sorted(split))
    assert list(mine.steered_elo_hostile) == [split[i]["steered_elo_hostile"] for i in mine.steered]
    assert list(mine.steered_elo_blissful) == [
        split[i]["steered_elo_blissful"] for i in mine.steered
    ]
    assert set(mine.ambiguous) == {
        (i, index[a["ambiguous_with"]]) for i, a in split.items() if a["ambiguous_with"]
    }
    figure = read("paper_fig2_implicit_matrix")
    assert np.array_equal(published.implicit().cosine, np.array(figure["matrix"]).T), (
        "the figure's rows are probes"
    )
    for t in read("numeric_templates_6")["templates"]:
        assert published.numeric()[t["key"]].values == tuple(t["values"])
        assert {p: list(c) for p, c in published.numeric()[t["key"]].curves.items()} == t[
            "paper_curves"
        ]
        assert published.numeric_trends()[t["key"]] == pytest.approx(t["paper_spearman"], abs=6e-4)
    r = read("paper_fig4_preference_r")
    assert (list(published.correlations().sorted_r), published.correlations().labelled) == (
        r["sorted_r"],
        r["labelled"],
    )
    points = read("paper_fig4_steering_scatter")["points"]
    assert [
        [a, b] for a, b in zip(published.steering().r, published.steering().delta_elo, strict=True)
    ] == [p[:2] for p in points]
    assert {k: list(v) for k, v in published.clusters().items()} == read("emotion_clusters_10")[
        "clusters"
    ]
    theirs = read("paper_numbers")
    assert published.numbers()["preference"] == theirs["preference"]
    assert published.numbers()["blackmail"] == theirs["blackmail"]


@needs_paper
def test_every_fingerprint_is_of_the_files() -> None:
    lists, prompts = list_fingerprints(), prompt_fingerprints()
    assert lists["topics_100"].sha256 == hash_items(read("topics_100"))
    assert lists["activities_64"].sha256 == hash_items(
        [f"{a['category']}\t{a['activity']}" for a in read("activities_64")["activities"]]
    )
    assert {name: f.n for name, f in lists.items()} == {
        name: int(name.split("_")[-1]) for name in lists
    }
    assert sum(n for n in prompts["story_prompt"].lines if n > 0) == prompts["story_prompt"].n
    assert (prompts["story_prompt"].delimiter, prompts["dialogue_prompt"].delimiter) == (
        "<NEW STORY>",
        "<NEW DIALOGUE>",
    )


def test_the_numbers_agree_with_what_was_published_of_them() -> None:
    """Recomputed from the data against the paper's text and tables: a slip in a column or an index
    would show."""
    a, steered = published.activities(), list(published.activities().steered)
    assert np.corrcoef(a.elo_post, a.blissful_post)[0, 1] == pytest.approx(0.7135, abs=1e-4)
    assert np.corrcoef(a.elo_post, a.hostile_post)[0, 1] == pytest.approx(-0.7376, abs=1e-4)
    assert np.corrcoef(a.elo_post, a.elo_base)[0, 1] == pytest.approx(0.8112, abs=1e-4)
    assert a.elo_post.mean() == 1500
    assert a.elo_post[np.array(a.category) == "Unsafe"].mean() == pytest.approx(599, abs=0.5)
    assert (len(steered), (a.steered_elo_blissful - a.elo_post[steered]).mean()) == (
        32,
        pytest.approx(212.3, abs=0.1),
    )
    assert (a.steered_elo_hostile - a.elo_post[steered]).mean() == pytest.approx(-299.7, abs=0.1)
    matrix = published.implicit().cosine
    ranks = 1 + (matrix > np.diag(matrix)[:, None]).sum(1)
    assert ((ranks == 1).sum(), ranks.mean()) == (
        CRITERIA["V3"].paper,
        pytest.approx(CRITERIA["V4"].paper, abs=0.01),
    )
    rho = np.array([list(t.values()) for t in published.numeric_trends().values()])
    assert (np.abs(rho) > 0.7).sum() == CRITERIA["V6"].paper
    assert sorted(np.abs(rho).ravel())[:3] == pytest.approx([0.029, 0.257, 0.371], abs=1e-3), (
        "the three weak signs"
    )
    assert (np.abs(published.correlations().sorted_r) > 0.3).sum() == CRITERIA["V9"].paper
    s = published.steering()
    assert np.corrcoef(s.r, s.delta_elo)[0, 1] == pytest.approx(0.853, abs=1e-3)
    assert (np.sign(s.r) == np.sign(s.delta_elo)).sum() == CRITERIA["V11"].paper


def test_clusters_give_signs_to_all_but_one() -> None:
    clusters, signs = published.clusters(), published.valence_signs()
    assert (
        sum(map(len, clusters.values()))
        == 171
        == len({w for words in clusters.values() for w in words})
    )
    assert len(signs) == 171 - len(clusters["Competitive Pride"])
    assert sum(v > 0 for v in signs.values()) == 46


def test_llamas_numbers_are_those_of_the_verdict_table() -> None:
    llama = published.llama8b()
    assert llama["criteria"] == {i: c.llama8b for i, c in CRITERIA.items()}
    assert llama["sizes"] == {i: c.published_n for i, c in CRITERIA.items() if c.published_n}
    assert (
        max(llama["category_elo"].values()) - min(llama["category_elo"].values())
        == CRITERIA["V7"].llama8b
    )


# agreement


def test_elo_agrees_with_a_like_model_only() -> None:
    paper, rng = published.activities(), np.random.default_rng(0)
    like = (
        agreement.elo(1500 + 0.1 * (paper.elo_post - 1500) + rng.normal(0, 20, 64), DRAWS)
        .tables["agreement_elo"]
        .iloc[0]
    )
    assert like["r"] > 0.85
    assert like["ci_low"] > like["null_high"], "whatever the spread of the Elos"
    unlike = agreement.elo(rng.permutation(paper.elo_post), DRAWS).tables["agreement_elo"].iloc[0]
    assert unlike["null_low"] < unlike["r"] < unlike["null_high"]


def test_implicit_agreement_is_not_the_diagonals_alone_and_knows_rows_from_columns() -> None:
    names, rng = published.implicit().emotions, np.random.default_rng(1)
    theirs = published.implicit().cosine
    same = agreement.implicit(theirs, names, DRAWS).metrics
    assert same == pytest.approx({"agreement_implicit_off_diagonal": 1, "agreement_implicit": 1})
    assert (
        agreement.implicit(theirs.T, names, DRAWS).metrics["agreement_implicit_off_diagonal"] < 0.9
    )
    diagonal = (
        agreement.implicit(np.eye(12) * 0.2 + rng.normal(0, 0.02, (12, 12)), names, DRAWS)
        .tables["agreement_implicit"]
        .set_index("comparison")
    )
    assert diagonal.loc["all cells", "r"] > diagonal.loc["all cells", "null_high"]
    assert diagonal.loc["off the diagonal", "r"] < diagonal.loc["off the diagonal", "null_high"]


def test_implicit_agreement_of_some_of_the_emotions() -> None:
    names = ("sad", "calm", "angry", "proud")
    ours = published.implicit().only(names)
    assert ours[0, 0] == pytest.approx(0.1044)
    result = agreement.implicit(ours, names, DRAWS)
    assert result.metrics["agreement_implicit"] == pytest.approx(1)
    assert list(result.tables["agreement_implicit"]["n"]) == [12, 16]


def test_numeric_agreement_follows_the_curves() -> None:
    paper, probes = published.numeric(), ("afraid", "calm", "happy", "sad")
    curves = [np.stack([t.curves[p] for p in probes], 1) for t in paper.values()]
    same = agreement.numeric(list(paper), probes, curves, DRAWS)
    assert same.metrics == pytest.approx(
        {
            "agreement_numeric_mean_r": 1,
            "agreement_numeric_clear_signs": 21,
            "agreement_numeric_clear": 21,
        }
    )
    against = agreement.numeric(list(paper), probes, [-c for c in curves], DRAWS)
    assert against.metrics["agreement_numeric_mean_r"] == pytest.approx(-1)
    assert against.metrics["agreement_numeric_clear_signs"] == 0
    rng = np.random.default_rng(2)
    noise = (
        agreement.numeric(list(paper), probes, [rng.normal(size=c.shape) for c in curves], DRAWS)
        .tables["agreement_numeric"]
        .iloc[0]
    )
    assert noise["null_low"] < noise["r"] < noise["null_high"]


def test_correlations_agree_for_the_emotions_that_both_have() -> None:
    paper, labelled = published.activities(), published.correlations().labelled
    names = ("hostile", "blissful", "weary", "calm")
    probes = np.stack([paper.hostile_post, paper.blissful_post, paper.elo_base, paper.elo_post], 1)
    result = agreement.correlation(
        names, probes, np.array([labelled.get(n, 0.5) for n in names]), DRAWS
    )
    assert result.metrics == pytest.approx(
        {"agreement_probe_blissful": 1, "agreement_probe_hostile": 1, "agreement_correlations": 1}
    )
    assert list(result.tables["agreement_correlations"]["n"]) == [
        64,
        64,
        64,
        64,
        3,
    ], "calm is not labelled"
    nothing = agreement.correlation(("calm", "sad"), probes[:, 2:], np.array([0.1, 0.2]), DRAWS)
    assert (nothing.metrics, nothing.tables) == ({}, {})


def study(tmp_path: Path, experiment: str, stimuli: Stimuli, model: SubjectModel) -> Study:
    """A study whose vectors and preferences are made up: what is tested is what the paper's pack
    adds."""
    here, rng = composed(experiment, tmp_path), np.random.default_rng(3)
    names = tuple(
        dict.fromkeys(
            [s.emotion for s in stimuli.scenarios]
            + ["blissful", "hostile", "weary", "happy", "sad", "calm", "afraid"]
        )
    )
    directions = isotropic_directions(len(names), model.d_model, rng)
    made = {
        "stimuli": stimuli,
        "model": model,
        "layer": 2,
        "emotions": names,
        "baseline": rng.normal(size=(64, 64)),
        "vectors": EmotionVectors(names, directions, 2, 1.0, 0, {}),
        "shuffled": None,
    }
    vars(here).update(made)
    return here


def of_pack(stimuli: Stimuli) -> dict[str, Any]:
    """What the record of a run says of its pack."""
    steered = [i for i, a in enumerate(stimuli.activities) if a.steered]
    return {"name": stimuli.name, "is_paper": stimuli.is_paper, "steered": steered}


def texts_of(figure: Figure) -> set[str]:
    """Titles and legends of a figure."""
    legends = [*figure.legends, *(a.get_legend() for a in figure.axes)]
    texts = [t for legend in legends if legend is not None for t in legend.get_texts()]
    return {t.get_text() for t in texts} | {a.get_title() for a in figure.axes}


@needs_paper
@pytest.mark.parametrize("experiment", ["preference", "implicit", "numeric", "correlation"])
def test_the_papers_pack_adds_agreement_and_another_does_not(
    tmp_path: Path, tiny: SubjectModel, pack: Stimuli, experiment: str
) -> None:
    assert main(["import", "--json", str(PAPER), "--output", str(tmp_path)]) == 0
    imported = load_stimuli(str(tmp_path / "paper"))
    for stimuli, wanted in ((imported, True), (pack, False)):
        here = study(tmp_path, experiment, stimuli, tiny)
        result = here.config.experiment.run(here)
        folder = tmp_path / f"run {wanted}"
        run = saved(folder, result.tables, experiment=experiment, stimuli=of_pack(stimuli))
        check_run_is_shown_whole(run)
        found = compare_with_paper(run, DRAWS)
        assert bool(found.tables) is wanted
        assert all(name.startswith("agreement_") for name in (*found.tables, *found.metrics))
        for figure in drawn(run).values():
            assert (published.MODEL in texts_of(figure)) is wanted


@needs_paper
def test_steering_is_compared_on_the_papers_own_half_and_span(tmp_path: Path) -> None:
    assert main(["import", "--json", str(PAPER), "--output", str(tmp_path)]) == 0
    imported = load_stimuli(str(tmp_path / "paper"))
    table = table_of(100.0, 10.0)
    table.loc[table.index[:2], "direction"] = ["blissful", "hostile"]
    tables = {"steering": table, **SteeredPreference().judge({"steering": table}, DRAWS).tables}
    run = saved(tmp_path / "run", tables, experiment="steering", stimuli=of_pack(imported))
    result = compare_with_paper(run, DRAWS)
    rows = result.tables["agreement_steering"].set_index("quantity")
    assert list(rows["Claude"].iloc[:2]) == [212, -303]
    assert rows.loc["delta Elo, blissful", "ours"] == table["delta_elo"].iloc[0]
    assert rows.loc["delta Elo per unit of r", "ours"] == pytest.approx(100, abs=10)
    emotions = pd.DataFrame({"direction": ["a"], "r": [0.1], "delta_elo": [1.0]})
    for span in (SteeringSpan.both_activities, SteeringSpan.control_activity):
        half = of_pack(imported)["steered"]
        notes = agreement.steering(emotions, emotions, half, span.value).notes
        assert "is not its span" in notes[0]


def test_another_half_is_not_compared(pack: Stimuli) -> None:
    rows = pd.DataFrame({"direction": ["a"], "r": [0.1], "delta_elo": [1.0]})
    half = of_pack(pack)["steered"]
    result = agreement.steering(rows, rows, half, SteeringSpan.steered_activity.value)
    assert result.tables == {}
    assert "another than the digitised one" in result.notes[0]


@needs_paper
def test_a_pack_without_numeric_is_not_measured(tmp_path: Path, tiny: SubjectModel) -> None:
    folder = tmp_path / "json"
    folder.mkdir()
    for path in PAPER.glob("*.json"):
        if "numeric" not in path.name:
            (folder / path.name).write_bytes(path.read_bytes())
    assert (
        main(["import", "--json", str(folder), "--without-numeric", "--output", str(tmp_path)]) == 0
    )
    without = load_stimuli(str(tmp_path / "paper"))
    assert "numeric_6" not in lists_of(without)
    here = study(tmp_path, "numeric", without, tiny)
    with pytest.raises(
        NotApplicableError, match="V5, V6: the pack 'paper' says that it has no numeric templates"
    ):
        here.config.experiment.run(here)
