"""The W&B workspace and report that compare layers and models: `python -m
emoexp.cli.wandb_dashboard --entity E [--project P] [--dry-run]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emoexp.cli.wandb import has_key
from emoexp.errors import EmoexpError, OneLineParser, one_line, one_line_errors, require
from emoexp.stats.criteria import COUNTS, CRITERIA

if TYPE_CHECKING:
    from wandb_workspaces.reports import v2
    from wandb_workspaces.workspaces import Workspace

TITLE = "emoexp: emotion directions by layer and model"
MAX_RUNS = 500
"""W&B draws ten runs unless told: a sweep of twenty layers by two models is forty."""
DETECTION, STEERING = "V3/share", "metrics/effect_ratio"
CAVEAT = (
    "Every run is one point: a model at a layer. Bars of the best layer take the maximum (V4: the"
    " minimum) over all layers that were run, so they grow with the number of layers tried; the"
    " bars at two thirds of the depth were fixed beforehand. Counts are shown as shares of their n,"
    " since packs differ in size. Passed and informative are two things: a criterion that noise"
    " passes too says nothing."
)


def shown(identifier: str) -> str:
    """The key that models with different sets can be compared by."""
    return f"{identifier}/{'share' if identifier in COUNTS else 'value'}"


def heading(identifier: str) -> str:
    criterion = CRITERIA[identifier]
    return f"{identifier} {criterion.name}" + (" (share)" if identifier in COUNTS else "")


def by_layer() -> list[Any]:
    """One panel per criterion, a line per model; then how many criteria pass, and are
    informative."""
    from wandb_workspaces.reports import v2

    keys = {heading(i): shown(i) for i in CRITERIA} | {
        "criteria passed": "verdicts/passed",
        "passed and informative": "verdicts/both",
    }
    return [line(title, key) for title, key in keys.items()] + [
        v2.ScatterPlot(
            title="depth and criteria passed",
            x=v2.SummaryMetric("depth"),
            y=v2.SummaryMetric("verdicts/passed"),
        )
    ]


def line(title: str, key: str) -> Any:
    from wandb_workspaces.reports import v2

    return v2.LinePlot(
        title=title,
        x="layer",
        y=[key],
        title_x="layer",
        groupby=v2.Config("model.name"),
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
        smoothing_type="none",
        max_runs_to_show=MAX_RUNS,
    )


def by_model() -> list[Any]:
    """One panel per criterion, a bar per model: its best run of those that are shown."""
    from wandb_workspaces.reports import v2

    return [
        v2.BarPlot(
            title=heading(i),
            metrics=[shown(i)],
            groupby=v2.Config("model.name"),
            groupby_aggfunc="min" if c.comparison == "<=" else "max",
            max_runs_to_show=MAX_RUNS,
            max_bars_to_show=50,
        )
        for i, c in CRITERIA.items()
    ]


def detection_and_steering() -> list[Any]:
    """Whether the layers that read emotions best are those that write them best."""
    from wandb_workspaces.reports import v2

    pairs = (
        (DETECTION, STEERING),
        (DETECTION, "metrics/mean_abs_delta_elo"),
        ("V9/share", "V10/value"),
    )
    return [
        *(
            v2.ScatterPlot(title=f"{x} and {y}", x=v2.SummaryMetric(x), y=v2.SummaryMetric(y))
            for x, y in pairs
        ),
        line(f"detection: {DETECTION}", DETECTION),
        line(f"steering: {STEERING}", STEERING),
    ]


def workspace(entity: str, project: str) -> Workspace:
    """Three sections over all finished runs of the project."""
    from wandb_workspaces import expr
    from wandb_workspaces.workspaces import RunsetSettings, Section, Workspace, WorkspaceSettings

    parts = {
        "Verification by layer": by_layer(),
        "Across models, best layer": by_model(),
        "Detection and steering": detection_and_steering(),
    }
    return Workspace(
        entity=entity,
        project=project,
        name=TITLE,
        sections=[
            Section(name=name, panels=panels, is_open=True) for name, panels in parts.items()
        ],
        settings=WorkspaceSettings(x_axis="layer", max_runs=MAX_RUNS),
        runset_settings=RunsetSettings(filters=[expr.Summary("status") == "success"]),
    )


def report(entity: str, project: str, *, lookup: bool = True) -> v2.Report:
    """The same with the published numbers and the caveats in words; `lookup` names the project,
    whose number W&B then asks its server for."""
    from wandb_workspaces import expr
    from wandb_workspaces.reports import v2

    finished, two_thirds = expr.Summary("status") == "success", expr.Summary("two_thirds") == 1

    def grid(panels: list[Any], name: str, *filters: Any) -> v2.PanelGrid:
        where = (entity, project) if lookup else ("", "")
        for place, panel in enumerate(panels):
            panel.layout = v2.Layout(x=8 * (place % 3), y=6 * (place // 3), w=8, h=6)
        return v2.PanelGrid(
            runsets=[v2.Runset(*where, name=name, filters=[finished, *filters])], panels=panels
        )

    return v2.Report(
        entity=entity,
        project=project,
        title=TITLE,
        description="Written by python -m emoexp.cli.wandb_dashboard",
        width="fluid",
        blocks=[
            v2.P(CAVEAT),
            v2.MarkdownBlock(published()),
            v2.H2("Verification by layer"),
            grid(by_layer(), "finished runs"),
            v2.H2("Across models, at two thirds of the depth"),
            grid(by_model(), "two thirds of the depth", two_thirds),
            v2.H2("Across models, at the best layer"),
            grid(by_model(), "all layers"),
            v2.H2("Detection and steering"),
            grid(detection_and_steering(), "layers"),
        ],
    )


def published() -> str:
    """The criteria and what was published for them, as a Markdown table."""

    def show(value: float | None, n: int | None) -> str:
        return "-" if value is None else f"{value:g}/{n}" if n else f"{value:g}"

    rows: list[tuple[str, ...]] = [
        ("criterion", "threshold", "paper", "Llama-3.1-8B"),
        ("---",) * 4,
    ]
    for c in CRITERIA.values():
        name = c.name.replace("|", "\\|")  # a bar would end the cell
        numbers = (show(value, c.published_n) for value in (c.paper, c.llama8b))
        rows.append((f"{c.id} {name}", f"{c.comparison} {show(c.threshold, c.full_n)}", *numbers))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def spec(entity: str, project: str) -> dict[str, Any]:
    """What would be sent, as plain data, without a network; the runsets of the report lack the
    project's number, which only W&B knows."""
    built: dict[str, Any] = {
        "workspace": workspace(entity, project),
        "report": report(entity, project, lookup=False),
    }
    return {
        name: json.loads(part._to_model().model_dump_json(by_alias=True, exclude_none=True))
        for name, part in built.items()
    }


def dashboard(arguments: Sequence[str]) -> str:
    """Saves workspace and report and returns their addresses; with --dry-run, the specification as
    JSON.

    Raises:
        EmoexpError: an argument, the package or the key is missing, or W&B refuses.
    """
    parser = OneLineParser(prog="python -m emoexp.cli.wandb_dashboard", description=__doc__)
    parser.add_argument("--entity", help="your W&B user or team")
    parser.add_argument("--project", default="emoexp")
    text = "print what would be saved; needs no key and no network"
    parser.add_argument("--dry-run", action="store_true", help=text)
    chosen = parser.parse_args(arguments)
    if not chosen.entity:  # not `required`, or a word too many would not be told
        parser.error("give --entity, your W&B user or team")
    try:
        import wandb_workspaces.workspaces  # noqa: F401
    except ImportError as error:
        raise EmoexpError(
            "the dashboard needs the package wandb-workspaces: pip install 'emoexp[wandb]'"
        ) from error
    if chosen.dry_run:
        return json.dumps(spec(chosen.entity, chosen.project), indent=2)
    key = "the dashboard needs a W&B key: set WANDB_API_KEY or run wandb login"
    require(has_key(), f"{key}; --dry-run needs none")
    try:
        saved = [make(chosen.entity, chosen.project).save() for make in (workspace, report)]
    except Exception as error:  # wandb-workspaces raises bare exceptions, requests' and its own
        raise EmoexpError(
            f"W&B refuses the dashboard of {chosen.entity}/{chosen.project} ({one_line(error)}): is"
            " there a run in the project yet?"
        ) from error
    return "\n".join(part.url for part in saved)


def main() -> None:
    """Prints what `dashboard` returns; a mistake is one line and exit status 2."""
    with one_line_errors():
        sys.stdout.write(dashboard(sys.argv[1:]) + "\n")


if __name__ == "__main__":
    main()
