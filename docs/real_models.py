"""The tables of docs/real-models.md and README.md, from the results kept in docs/real-models/.

python docs/real_models.py                     writes the tables into the pages
python docs/real_models.py keep NAME RUN...    keeps the results of runs or sweeps as NAME.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
KEPT, PAGE = HERE / "real-models", HERE / "real-models.md"
PAGES = (PAGE, HERE.parent / "README.md")
FIELDS = (
    "experiment",
    "span",
    "seed",
    "layer",
    "n_layers",
    "answers",
    "metrics",
    "comparison",
    "notes",
)
TABLES = ("implicit_read_outs", "steering_rows", "steering_map")
Row = dict[str, Any]


def keep(name: str, runs: list[Path]) -> Path:
    """Writes what the tables need of every result under `runs`, without machines and paths."""
    kept = [_trimmed(path) for run in runs for path in sorted(run.rglob("result.json"))]
    if not kept:
        raise SystemExit(f"no result.json under {', '.join(map(str, runs))}")
    kept.sort(key=lambda row: row["layer"] or 0)
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"{name}.json"
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in kept)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return path


def _trimmed(path: Path) -> Row:
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["status"] != "success":
        raise SystemExit(f"{path}: its status is {record['status']}")
    row = {name: record[name] for name in FIELDS}
    model = dict(record["provenance"]["model"])
    model["repo_id"] = model["repo_id"].rpartition("/")[2]
    row |= {"model": model | {"name": record["model"]}, "settings": record["settings"]}
    row["pack"] = {key: record["stimuli"][key] for key in ("name", "sha256")}
    row["corpus"] = record["corpus"]
    row["versions"] = {key: record["provenance"][key] for key in ("emoexp", "commit", "packages")}
    row["verdicts"] = record["verdicts"]
    row["tables"] = {
        name: pd.read_csv(path.with_name(f"{name}.csv")).to_dict("records")
        for name in TABLES
        if name in record["tables"]
    }
    return json.loads(re.sub(r"\bNaN\b", "null", json.dumps(row)))  # type: ignore[no-any-return]


def load(name: str) -> list[Row]:
    """Reads kept results, by layer."""
    return json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def verdicts(row: Row) -> dict[str, Row]:
    """Returns the verdicts of a result by criterion."""
    return {verdict["id"]: verdict for verdict in row["verdicts"]}


def read_outs(row: Row) -> dict[tuple[str, str], Row]:
    """Returns V3 and V4 of a result by read-out and criterion."""
    return {(r["read_out"], r["id"]): r for r in row["tables"].get("implicit_read_outs", ())}


def marked(value: str, passed: bool, informative: bool) -> str:
    """Writes a value bold where it passes and is informative, with ~ where it only passes, with !
    where it fails and lies beyond its nulls."""
    if passed and informative:
        return f"**{value}**"
    return f"{value} ~" if passed else f"{value} !" if informative else value


def cell(verdict: Row | None) -> str:
    """Writes the value of a verdict."""
    if verdict is None:
        return ""
    whole = verdict["id"] not in ("V4", "V7", "V8", "V10")
    value = f"{verdict['value']:.0f}/{verdict['n']}" if whole else f"{verdict['value']:.2f}"
    if verdict["id"] in ("V7", "V8"):
        value = f"{verdict['value']:.0f}"
    return marked(value, verdict["passed"], verdict["informative"])


def first_table(name: str) -> str:
    """Lays out V1 to V11 of one run, one row for each criterion."""
    (row,), lines = load(name), []
    for v in row["verdicts"]:
        value = cell(v | {"passed": False, "informative": False})
        limit = f"{v['threshold']:g}" + (f"/{v['n']}" if "/" in value else "")
        digits = ".2f" if v["id"] in ("V4", "V10") else ".3g"
        ends = [[f"{v[f'{k}_{end}']:{digits}}" for end in ("low", "high")] for k in ("ci", "null")]
        spans = [" .. ".join(pair) for pair in ends]
        yes = ["yes" if v[key] else "no" for key in ("passed", "informative")]
        limit = f"{v['comparison']} {limit}"
        criterion = v["name"].replace("|", "\\|")
        lines.append([v["id"], criterion, value, spans[0], limit, yes[0], spans[1], yes[1]])
    head = ["", "criterion", "value", "95 %", "threshold", "passed", "null 95 %", "informative"]
    return markdown(head, lines)


def by_layer(name: str) -> str:
    """Lays out V1 to V9 by layer, and the centred read-outs of V3 and V4."""
    head = ["layer", "V1", "V2", "V3", "V4", "V3 centred", "V4 centred", "p", "V5", "V6", "V8"]
    lines = []
    for row in load(name):
        v, centred = verdicts(row), read_outs(row)
        third, fourth = (centred[("centred", key)] for key in ("V3", "V4"))
        lines.append(
            [
                str(row["layer"]),
                *(cell(v.get(key)) for key in ("V1", "V2", "V3", "V4")),
                marked(f"{third['value']:.0f}/12", third["passed"], third["informative"]),
                marked(f"{fourth['value']:.2f}", fourth["passed"], fourth["informative"]),
                f"{fourth['permutation_p']:.3f}",
                *(cell(v.get(key)) for key in ("V5", "V6", "V8", "V9")),
            ]
        )
    return markdown([*head, "V9"], lines)


def preferences(*names: str) -> str:
    """Lays out V7 and what it rests on, one row for each model, pack and format."""
    lines = []
    for name in names:
        row = load(name)[0]
        v7, m, answers = verdicts(row)["V7"], row["metrics"], row["answers"]
        null = f"{v7['null_low']:.1f} .. {v7['null_high']:.1f}"
        agreement = row["comparison"]
        lines.append(
            [
                row["model"]["name"],
                row["model"]["format"],
                row["pack"]["name"],
                f"{cell(v7)} ({v7['ci_low']:.0f} .. {v7['ci_high']:.0f})",
                null,
                f"{m['elo_min']:.0f} .. {m['elo_max']:.0f}",
                f"{m['position_bias']:.2f}",
                f"{answers['mass']:.2f}",
                ", ".join(
                    f"{agreement[key]:.2f}"
                    for key in ("agreement_elo_post", "agreement_elo_base")
                    if key in agreement
                ),
            ]
        )
    head = ["model", "format", "pack", "V7 (95 %)", "its null", "Elo", "position bias"]
    return markdown([*head, "p(A) + p(B)", "r with Claude's Elos, base model's"], lines)


AGREEMENT = {
    "implicit_off_diagonal": "12 x 12 matrix, off the diagonal",
    "implicit": "12 x 12 matrix, all cells",
    "numeric_mean_r": "numbers, mean r of curves",
    "probe_blissful": "blissful over activities",
    "probe_hostile": "hostile over activities",
}


def agreement(*names: str) -> str:
    """Lays out the correlation with Claude's published numbers, by model and layer."""
    lines = [
        [
            row["model"]["name"] if not i else "",
            str(row["layer"]),
            *(f"{row['comparison'][f'agreement_{key}']:.2f}" for key in AGREEMENT),
        ]
        for name in names
        for i, row in enumerate(load(name))
    ]
    return markdown(["model", "layer", *AGREEMENT.values()], lines)


def steering(*names: str) -> str:
    """Lays out V10, V11 and the size of every kind of direction."""
    lines = []
    for name in names:
        for row in load(name):
            settings = row["settings"].get("steering") or row["settings"]
            layers = sorted(settings.get("band") or [row["layer"]])
            what = [
                row["model"]["name"],
                f"{', '.join(map(str, layers))} of {row['n_layers']}",
                f"{settings['strength']:g}",
                _activities(row["pack"]["name"]),
            ]
            lines += [
                [*(what if not i else [""] * len(what)), *_size(r), _over(row, r["directions"])]
                for i, r in enumerate(row["tables"]["steering_rows"])
            ]
    head = ["model", "layers", "strength", "activities", "directions", "n", "V10", "V11"]
    sizes = ["mean abs(r)", "mean abs(delta Elo)", "over isotropic (95 %)"]
    return markdown([*head, *sizes, "emotions over these (95 %)"], lines)


def _activities(pack: str) -> str:
    """Returns how many activities of the pack are compared, from its name."""
    part = re.search(r"(\d+) activities of each category", pack)
    return str(8 * int(part[1])) if part else "64"


def _over(row: Row, directions: str) -> str:
    """Writes how much larger the emotions' effect is than that of a null's directions."""
    keys = {"isotropic random": "effect_ratio", "shuffled labels": "effect_ratio_over_shuffled"}
    if (key := keys.get(directions)) is None or key not in row["metrics"]:
        return ""
    ratio, low, high = (row["metrics"][f"{key}{end}"] for end in ("", "_low", "_high"))
    return f"{ratio:.2f} ({low:.2f} .. {high:.2f})"


def _size(row: Row) -> list[str]:
    low, high = row["effect_ratio_low"], row["effect_ratio_high"]
    return [
        row["directions"],
        str(row["n"]),
        f"{row['V10']:.2f}",
        f"{row['V11']}/{row['n']}",
        f"{row['mean_abs_r']:.2f}",
        f"{row['mean_abs_delta_elo']:.2f}",
        f"{row['effect_ratio']:.2f} ({low:.2f} .. {high:.2f})",
    ]


CELLS = {
    "layer": "layer",
    "strength": "strength",
    "mean_abs_delta_elo": "mean abs(delta Elo)",
    "isotropic_mean_abs": "isotropic",
    "V10": "V10",
    "V10_isotropic": "isotropic",
    "V11": "V11",
    "coherence": "coherence",
    "order_kept": "order kept",
}


def steering_map(*names: str) -> str:
    """Lays out steering maps, one row for each cell."""
    lines = []
    for name in names:
        (row,) = load(name)
        for i, r in enumerate(row["tables"]["steering_map"]):
            ratio = "{effect_ratio:.2f} ({effect_ratio_low:.2f} .. {effect_ratio_high:.2f})"
            cells = [f"{r[c]:.2f}" if isinstance(r[c], float) else str(r[c]) for c in CELLS]
            cells.insert(4, ratio.format(**r))
            lines.append([row["model"]["name"] if not i else "", *cells])
    head = list(CELLS.values())
    head.insert(4, "ratio (95 %)")
    return markdown(["model", *head], lines)


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """Lays out a table in markdown."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


MAKERS: dict[str, Callable[..., str]] = {
    "first_table": first_table,
    "by_layer": by_layer,
    "preferences": preferences,
    "agreement": agreement,
    "steering": steering,
    "steering_map": steering_map,
}
BLOCK = re.compile(r"(<!-- (\w+): ([\w., -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """Returns the page with every table made again from the kept results."""

    def table(match: re.Match[str]) -> str:
        names = [name.strip() for name in match[3].split(",")]
        return match[1] + MAKERS[match[2]](*names) + "\n" + match[4]

    return BLOCK.sub(table, text)


def main() -> None:
    if sys.argv[1:2] == ["keep"]:
        sys.stdout.write(f"{keep(sys.argv[2], [Path(p) for p in sys.argv[3:]])}\n")
    else:
        for page in PAGES:
            page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
