"""The style that all figures share: colours by meaning, titles, files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation

from emoexp.figures import files, style
from emoexp.figures.draw import draw_run
from emoexp.figures.style import SETS, VALENCE, head, new_figure, styled
from emoexp.figures.titles import found, title_of, where
from emoexp.stats import labels
from emoexp.stats.criteria import Verdict
from tests.helpers.figures import faults
from tests.helpers.geometry_tables import tables
from tests.helpers.records import drawn, saved

LONG = "a name that is much longer than any figure is wide, " * 6


def test_every_set_and_null_of_the_tables_has_a_mark() -> None:
    named = {value for name, value in vars(labels).items() if name.isupper()}
    assert set(SETS) == named


def seen_by_the_colour_blind(colour: str) -> tuple[float, float]:
    """Red and green of a colour as one, and blue: what is left without red-green sight."""
    red, green, blue = to_rgb(colour)
    return 0.5 * (red + green), blue


def test_the_colours_of_valence_differ_without_red_green_sight() -> None:
    positive, negative, *_ = (seen_by_the_colour_blind(m.colour) for m in VALENCE.values())
    assert abs(positive[1] - negative[1]) > 0.4
    assert len({mark.shape for mark in VALENCE.values()}) == 4


def test_categories_differ_in_shape() -> None:
    shapes = [mark.shape for mark in style.CATEGORIES]
    assert len(set(shapes)) == len(shapes) == 15


def test_a_long_title_is_wrapped_and_not_cut() -> None:
    with styled():
        figure = new_figure(6, 4)
        figure.add_subplot()
        head(figure, "What it shows", LONG, "what was found")
        assert faults(figure) == []
        assert figure.get_suptitle() == f"What it shows\nwhat was found\n{LONG}"


def test_a_title_says_model_pack_corpus_and_layer(tmp_path: Path) -> None:
    pack, corpus = {"name": "emoexp", "is_paper": False}, {"name": "starter"}
    run = saved(tmp_path, {}, stimuli=pack, corpus=corpus, model="llama1b", layer=7)
    assert title_of(run, "strength 1") == (
        "model: llama1b, pack: emoexp, corpus: starter, layer 7, strength 1"
    )
    assert title_of(run, layer=False) == "model: llama1b, pack: emoexp, corpus: starter"
    assert title_of(run, vectors=False) == "model: llama1b, pack: emoexp"
    assert where(["a", "b", "a"], [""], ["c"]) == "model: a and b, corpus: c"


def test_a_title_says_what_the_criteria_found(tmp_path: Path) -> None:
    numbers = {"ci_low": 8.0, "ci_high": 12.0, "null_low": 0.0, "null_high": 3.5}
    rest = {"passed": True, "informative": True, "paper": None, "llama8b": None}
    v3 = Verdict("V3", "own", 11.0, 12, threshold=8, comparison=">=", **numbers, **rest)
    v4 = Verdict("V4", "rank", 1.25, 12, threshold=3, comparison="<=", **numbers, **rest)
    run = saved(tmp_path, {}, verdicts=[v3, v4])
    assert found(run, "V3", "V4") == "V3: 11/12 (null 0 .. 3.5), V4: 1.25 (null 0 .. 3.5)"
    assert found(run, "V7") == ""


@pytest.mark.filterwarnings("error")
def test_a_run_has_a_pdf_with_embedded_fonts_beside_each_png(tmp_path: Path) -> None:
    made = {name: table for name, table in tables(12).items() if name in ("pairs", "components")}
    saved(tmp_path, made, experiment="geometry", layer=8, n_layers=16)
    assert draw_run(tmp_path) == []
    for name in ("pairs", "components"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        content = (tmp_path / f"{name}.pdf").read_bytes()
        assert content.startswith(b"%PDF")
        assert b"/FontFile2" in content
        assert b"/Subtype /Type3" not in content


def test_the_same_figure_gives_the_same_pdf(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        figure = new_figure(3, 2)
        figure.add_subplot().plot([1, 2])
        files.save(figure, tmp_path, name)
        contents.append((tmp_path / f"{name}.pdf").read_bytes())
    assert contents[0] == contents[1]


def test_a_run_of_before_a_column_existed_says_so_in_one_line(tmp_path: Path) -> None:
    old = pd.DataFrame({"category": ["Helpful"], "activity": ["cook"], "elo": [1500.0]})
    means = pd.DataFrame({"category": ["Helpful"], "elo": [1500.0]})
    saved(tmp_path, {"elo": old, "elo_by_category": means}, experiment="preference")
    (line,) = draw_run(tmp_path)
    assert "was saved by another version of emoexp, without 'steered'" in line
    (tmp_path / "elo.csv").unlink()
    (line,) = draw_run(tmp_path)
    assert "elo.csv is not the table that result.json names" in line


def test_the_elo_figure_names_who_is_far_from_its_category(tmp_path: Path) -> None:
    elo = [1700.0] * 9 + [1100.0] + [1300.0] * 10
    table = pd.DataFrame(
        {
            "category": ["Social"] * 10 + ["Unsafe"] * 10,
            "activity": [f"activity {k}" for k in range(20)],
            "steered": [k % 2 == 0 for k in range(20)],
            "elo": elo,
        }
    )
    means = pd.DataFrame({"category": ["Social", "Unsafe"], "elo": [1640.0, 1300.0]})
    names = {"elo": table, "elo_by_category": means.assign(ci_low=means["elo"] - 50, ci_high=1700)}
    figure = drawn(saved(tmp_path, names, experiment="preference"))["elo"]
    assert "activity 9" in {text.get_text() for text in figure.findobj(Annotation)}
    assert "category mean, 95 %" in {t.get_text() for t in figure.legends[0].get_texts()}
