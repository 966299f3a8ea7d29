"""The report: what failed comes first, what differs is not laid side by side, and the numbers are
those of the runs."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from emoexp.errors import EmoexpError
from emoexp.report import load_runs, main, report
from emoexp.report.groups import grouped, measured, parts, verdict_rows
from tests.helpers.report_runs import LAYERS, MODELS, verdicts, write_run, write_sweep


class Page(HTMLParser):
    """Texts and references of an HTML page; complains of a tag that is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep of two models by six layers with its report, and what the terminal shows."""
    sweep = write_sweep(tmp_path_factory.mktemp("sweep"))
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        report([sweep])
    return sweep, shown.getvalue()


def test_a_sweep_of_two_models_becomes_one_report_in_three_forms(
    reported: tuple[Path, str],
) -> None:
    sweep, shown = reported
    assert "12 of 12 runs finished" in shown
    assert "best: 4 (of 6); two thirds: 5" in shown
    assert "~ passes, not above its null" in shown
    page = (sweep / "report.html").read_text()
    text = (sweep / "report.md").read_text()
    titles = [
        "Jobs",
        "Verification",
        "Expected against found",
        "By layer",
        "Detection against steering",
        "Models side by side",
        "What it was measured with",
        "Runs",
    ]
    assert re.findall(r"<h2>(.*?)</h2>", page) == titles
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == titles
    assert "multiple comparison" in page
    assert "multiple comparison" in text
    found = Page(page)
    images = [r for r in found.references if r.startswith("data:image/png;base64,")]
    folders = [unquote(r) for r in found.references if r not in images]
    assert len(images) == 4
    assert sorted(folders) == sorted(p.name for p in sweep.glob("layer=*"))
    assert not found.tags & {"script", "link", "iframe"}
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)
    images = re.findall(r"\]\(([^)]*\.png)\)", text)
    assert images == [
        "layers_models.png",
        "layers_1_organism.png",
        "layers_2_organism_untrained.png",
        "detection.png",
    ]
    assert all((sweep / name).stat().st_size > 10_000 for name in images)
    with (sweep / "report.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 * 6 * 11
    assert {(r["model"], r["layer"]) for r in rows if r["is_best_layer"] == "True"} == {
        ("organism", "4"),
        ("organism_untrained", "5"),
    }
    assert {r["layer"] for r in rows if r["is_two_thirds"] == "True"} == {"5"}
    one = next(r for r in rows if (r["model"], r["layer"], r["id"]) == ("organism", "4", "V3"))
    assert (one["value"], one["null_high"], one["passed"], one["stands"], one["pack"]) == (
        "11.0",
        "3.0",
        "True",
        "True",
        "organism",
    )


def test_the_models_stand_beside_the_published_numbers(reported: tuple[Path, str]) -> None:
    text = (reported[0] / "report.md").read_text()
    table = text.split("## Models side by side")[1]
    head, _, *rows = [
        [c.strip() for c in line.strip("| ").split(" | ")]
        for line in table.split("##")[0].splitlines()
        if line.startswith("|")
    ]
    assert head[1:] == [
        "organism, layer 4 (best)",
        "organism, layer 5 (two thirds)",
        "organism\\_untrained, layer 5 (best and two thirds)",
        "paper (Claude)",
        "Llama-8B",
    ]
    by_name = {row[0].split()[0]: row[1:] for row in rows}
    assert by_name["V3"] == ["11/12 \\*", "9/12 \\*", "0/12", "6/12", "6/12"]
    assert by_name["V7"][-2:] == ["1403", "261"]
    assert by_name["V1"][-2:] == ["-", "34/171"]
    assert not re.search(r"\bnan\b", text)


def test_best_is_by_both_then_passed_then_near_two_thirds(tmp_path: Path) -> None:
    """A flat model is best at two thirds; one more criterion passed, and then one more that also
    says something, move it."""

    def best(name: str) -> int:
        groups = grouped(measured(load_runs([tmp_path / name])), mix=False)
        return parts(groups, verdict_rows(groups))[0].best

    base = [
        v | {"passed": False, "informative": False} for v in verdicts("organism", 4, ["V1", "V3"])
    ]
    passed, both = (
        [base[0] | {"passed": True}, base[1]],
        [
            base[0] | {"passed": True, "informative": True},
            base[1],
        ],
    )
    for name, chosen, wanted in (
        ("flat", {}, 5),
        ("passed", {2: passed}, 2),
        ("both", {2: [v | {"passed": True} for v in base], 7: both}, 7),
    ):
        for layer in LAYERS:
            write_run(tmp_path / name / str(layer), layer=layer, verdicts=chosen.get(layer, base))
        assert best(name) == wanted, name


def test_two_thirds_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the depth in result.json it is not known; a layer that was not run is said to be
    that."""
    write_run(tmp_path / "a" / "4", layer=4, n_layers=None)
    report([tmp_path / "a"])
    assert "two thirds: not known" in capsys.readouterr().out
    write_run(tmp_path / "c" / "4", layer=4)
    report([tmp_path / "c"])
    assert "two thirds: 5, which was not run" in capsys.readouterr().out


def test_results_of_before_the_code_was_hashed_are_told_apart_by_commit(tmp_path: Path) -> None:
    write_run(tmp_path / "a", code=None)
    write_run(tmp_path / "b", layer=5, code=None, provenance={"dirty": True})
    with pytest.raises(
        EmoexpError,
        match=r"differ in code: commit d9bae047 \| commit d9bae047 with uncommitted changes",
    ):
        report([tmp_path])


DIFFERENT: list[tuple[str, dict[str, Any]]] = [
    ("span", {"span": "both_activities"}),
    ("seed", {"seed": 1}),
    ("pack", {"stimuli": {"sha256": "b" * 64}}),
    ("corpus", {"corpus": {"sha256": "b" * 64}}),
    ("code", {"code": "b" * 64}),
    ("weights of organism", {"provenance": {"model": {"files": "other"}}}),
    ("steering.strength", {"config__experiment": {"steering": {"strength": 0.1}}}),
    ("steering.strength", {"experiment": "steering", "config__experiment": {"strength": 0.1}}),
    ("scale.permutations", {"config__scale": {"permutations": 100}}),
]


@pytest.mark.parametrize(("fact", "changes"), DIFFERENT)
def test_what_differs_is_refused_or_kept_apart(
    fact: str, changes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", **changes)
    with pytest.raises(EmoexpError, match=f"differ in {fact}: .* or --mix") as refused:
        report([tmp_path])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "report.html").exists()
    capsys.readouterr()
    report([tmp_path], mix=True)
    assert len(re.findall(r"<h3>organism \[", (tmp_path / "report.html").read_text())) == 2
    assert "measured the same thing" not in capsys.readouterr().out


def test_a_validation_of_its_own_stands_beside_verify(tmp_path: Path) -> None:
    """A run agrees with any other in what it does not depend on."""
    write_run(tmp_path / "a", layer=3)
    write_run(
        tmp_path / "b",
        layer=4,
        experiment="preference",
        verdicts=verdicts("organism", 4, ["V7"]),
        corpus=None,
        config__experiment={},
        metrics={},
    )
    report([tmp_path])
    assert "layers run: 3, 4" in (tmp_path / "report.md").read_text()


def test_each_model_may_write_its_own_stories_but_only_one_corpus(tmp_path: Path) -> None:
    own = {"config__stories": {"name": "screen", "source": "generated", "server": None}}
    for k, model in enumerate(MODELS):
        write_run(tmp_path / model, model, corpus={"sha256": str(k) * 64}, **own)
    report([tmp_path])
    write_run(tmp_path / "again", MODELS[0], layer=5, corpus={"sha256": "7" * 64}, **own)
    with pytest.raises(EmoexpError, match="own stories of organism"):
        report([tmp_path])
    served = {
        "config__stories": {
            "name": "screen",
            "source": "generated",
            "server": "http://127.0.0.1:8000/v1",
        }
    }
    for k, model in enumerate(MODELS):
        write_run(tmp_path / "served" / model, model, corpus={"sha256": str(k) * 64}, **served)
    with pytest.raises(EmoexpError, match="differ in corpus"):
        report([tmp_path / "served"])


def test_the_newest_of_two_runs_stands_and_the_report_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = [v | {"value": 1} for v in verdicts("organism", 4, ["V3"])]
    write_run(tmp_path / "z_old", provenance={"time": "2026-11-20T00:00:00+00:00"}, verdicts=old)
    write_run(tmp_path / "a_new", provenance={"time": "2026-11-21T00:00:00+00:00"})
    report([tmp_path, tmp_path / "a_new"])  # given twice, counted once
    assert "1 pairs of runs measured the same thing" in capsys.readouterr().out
    text = (tmp_path / "report.md").read_text()
    assert "11/12 \\*" in text
    assert "1/12 \\*" not in text.replace("11/12", "")
    assert re.search(r"Measured more than once.*old \| .*new \|\n", text, re.DOTALL)
    with (tmp_path / "report.csv").open() as handle:
        stands = {
            (Path(r["path"]).name, r["stands"]) for r in csv.DictReader(handle) if r["id"] == "V3"
        }
    assert stands == {("z_old", "False"), ("a_new", "True")}


def test_nothing_in_a_result_becomes_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "<script>alert(1)</script> | [bold]x[/] `y` ![z](http://a)"
    write_run(tmp_path / "a", model=evil, notes=[evil], corpus={"author": evil})
    write_run(tmp_path / "b", status="error", error=evil)
    report([tmp_path])
    assert "[bold]x[/]" in capsys.readouterr().out
    page = Page((tmp_path / "report.html").read_text())
    assert "script" not in page.tags
    assert any(evil in text for text in page.texts)
    assert not any(reference.startswith("http") for reference in page.references)
    text = (tmp_path / "report.md").read_text()
    assert "<script>" not in text.replace("\\<", "")
    assert "![z]" not in text
    widths = {
        line.replace("\\|", "").count("|")
        for line in text.split("## Models side by side")[1].split("##")[0].splitlines()
        if line.startswith("|")
    }
    assert widths == {5}


def test_files_go_where_they_are_told_to(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "out").mkdir()
    main(
        [
            str(run),
            "--html",
            str(tmp_path / "out/a.html"),
            "--markdown",
            str(tmp_path / "out/b.md"),
            "--csv",
            str(tmp_path / "out/c.csv"),
        ]
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.html", "b.md", "c.csv"]
    assert sorted(p.name for p in run.iterdir()) == ["config.yaml", "result.json"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: DIR"),
        (["{}/nowhere"], "no result.json below"),
        (["{}/run", "--average"], "unrecognized arguments: --average"),
        (["{}/run", "--html", "{}/nowhere/a.html"], "the report cannot be written"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run")
    with pytest.raises(SystemExit) as stopped:
        main([a.format(tmp_path) for a in arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert says in error
    assert error.count("\n") == 1


def test_runs_that_name_different_depths_are_not_one_model(tmp_path: Path) -> None:
    write_run(tmp_path / "a", layer=3)
    write_run(tmp_path / "b", layer=4, n_layers=12)
    with pytest.raises(EmoexpError, match=r"layers of organism: 12 \| 8"):
        report([tmp_path])
