"""Reads the files of a pack and collects every fault: nothing crashes on the first, nothing is
repaired."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from emoexp.stimuli.blackmail import BlackmailScenario, read_blackmail
from emoexp.stimuli.checks import are_texts, is_text
from emoexp.stimuli.pack import (
    N_ACTIVITIES,
    N_CATEGORIES,
    N_PAIRS,
    N_SCENARIOS,
    N_TEMPLATES,
    PER_CATEGORY,
    Activity,
    NumericTemplate,
    Opening,
    Scenario,
    SelfReportOpenings,
)

FIELDS = {
    "preference": {"a", "b"},
    "feeling": {"activity"},
    "story": {"n", "topic", "emotion"},
    "dialogue": {"n", "topic"},
}
"""Fields of each template; stories and dialogues are needed for generation only."""
DELIMITED = ("story", "dialogue")
ABSENT = ("numeric", "blackmail")
"""Parts that a pack may say it does not have."""


class Reader:
    """A pack's folder as it is read. What could not be read is empty; a missing file is no fault of
    the part that is read from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def count(self, what: str, found: Sequence[Any], wanted: int) -> None:
        if len(found) != wanted:
            self.fault(f"{len(found)} {what}, must be {wanted}")

    def twice(self, texts: Iterable[str], where: str = "") -> None:
        for text, n in Counter(texts).items():
            if n > 1:
                self.fault(f"{where}{text!r} stands {n} times")

    def named(self, where: str, names: Iterable[str], emotions: Sequence[str]) -> None:
        """Emotions that are named must be known; they are not checked where the list of emotions
        could not be read."""
        if emotions and (unknown := sorted(set(names) - set(emotions))):
            self.fault(f"{where}: unknown emotion(s) {', '.join(unknown)}")

    def text(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (UnicodeDecodeError, OSError) as error:
            self.fault(f"{name} cannot be read as UTF-8 text ({error})")
            return None

    def json(self, name: str, text: str | None, kind: type, line: int = 0) -> Any:
        """What `text` holds, or None; `line` is the first line's number less one."""
        if text is None:
            return None
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            self.fault(f"{name}, line {line + error.lineno}: not JSON ({error.msg})")
            return None
        if not isinstance(content, kind):
            self.fault(
                f"{name}{f', line {line + 1}' if line else ''}: must be"
                f" {'an object' if kind is dict else 'a list'}"
            )
            return None
        return content

    def table(
        self, name: str, columns: Sequence[str], may_be_empty: Sequence[str] = ()
    ) -> list[tuple[str, dict[str, str]]]:
        """Rows of a CSV file that have all their cells, each with "file, line n"."""
        text = self.text(name)
        if text is None:
            return []
        rows, reader = [], csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            if lacking := [c for c in columns if c not in (reader.fieldnames or ())]:
                self.fault(f"{name} lacks the column(s) {', '.join(lacking)}")
                return []
            for row in reader:
                where = f"{name}, line {reader.line_num}"
                if None in row or None in row.values():
                    self.fault(f"{where}: has not {len(reader.fieldnames or ())} cells")
                elif empty := [c for c in columns if not row[c].strip() and c not in may_be_empty]:
                    self.fault(f"{where}: nothing under {', '.join(empty)}")
                else:
                    rows.append((where, row))
        except csv.Error as error:
            self.fault(f"{name}, after line {reader.line_num}: not CSV ({error})")
        return rows

    def head(self) -> dict[str, Any]:
        """pack.json: the parts that are as they should be, by the names of Stimuli."""
        raw = self.json("pack.json", self.text("pack.json"), dict) or {}
        head: dict[str, Any] = {}

        def take(
            key: str,
            fits: Callable[[Any], bool],
            rule: str,
            make: Callable[[Any], Any],
            default: Any = None,
        ) -> None:
            value = raw.get(key, default)
            if fits(value):
                head[key] = make(value)
            elif raw:
                self.fault(f"pack.json: {key} must be {rule}")

        take("name", is_text, "a text", str)
        take("author", is_text, "a text", str)
        take(
            "templates",
            lambda v: isinstance(v, dict) and all(map(is_text, v.values())),
            "an object of texts",
            dict,
        )
        take(
            "exemplars",
            lambda v: are_texts(v) and len(set(v)) == len(v),
            "a list of different emotions",
            tuple,
        )
        take(
            "opposite_pairs",
            lambda v: (
                isinstance(v, list)
                and all(are_texts(p) and len(p) == 2 and p[0] != p[1] for p in v)
            ),
            "a list of pairs of different emotions",
            lambda v: tuple((a, b) for a, b in v),
        )
        take(
            "absent",
            lambda v: are_texts(v) and set(v) <= set(ABSENT),
            f"left out, or a list of {', '.join(ABSENT)}",
            tuple,
            [],
        )
        take(
            "self_report",
            lambda v: v is None or is_self_report(v),
            "{self: opening, other: [opening, ...]}, with words in each question and answer",
            lambda v: v and SelfReportOpenings(opening(v["self"]), tuple(map(opening, v["other"]))),
        )
        take(
            "drift",
            lambda v: isinstance(v, list) and all(map(is_opening, v)),
            "a list of {question, answer}, with words in one of them at least",
            lambda v: tuple(map(opening, v)),
            [],
        )
        take("provenance", lambda v: isinstance(v, dict), "an object", dict, {})
        if "opposite_pairs" in head:
            self.count("opposite pairs", head["opposite_pairs"], N_PAIRS)
            self.twice(
                [" and ".join(sorted(p)) for p in head["opposite_pairs"]], "the opposite pair "
            )
        self._templates(head.get("templates", {}), required="templates" in head)
        return head

    def _templates(self, templates: dict[str, str], *, required: bool) -> None:
        for name, fields in FIELDS.items():
            if name not in templates:
                if required and name not in DELIMITED:
                    self.fault(f"pack.json: there is no template {name!r}")
                continue
            found = re.findall(r"\{([^{}]*)\}", templates[name])
            if set(found) != fields or re.search(
                r"[{}]", re.sub(r"\{[^{}]*\}", "", templates[name])
            ):
                self.fault(
                    f"pack.json: template {name!r} must have the fields"
                    f" {', '.join(f'{{{f}}}' for f in sorted(fields))} and no others"
                )
            if name in DELIMITED and not re.search(r"^<[^<>\n]+>$", templates[name], re.MULTILINE):
                self.fault(f"pack.json: template {name!r} has no line <...> to tell texts apart by")

    def emotions(self) -> tuple[tuple[str, ...], dict[str, float]]:
        names, valence = [], {}
        for where, row in self.table(
            "emotions.csv", ("emotion", "valence"), may_be_empty=("valence",)
        ):
            names.append(row["emotion"])
            if row["valence"].strip():
                try:
                    valence[row["emotion"]] = float(row["valence"])
                except ValueError:
                    self.fault(f"{where}: valence {row['valence']!r} is not a number")
        for name in [n for n, v in valence.items() if not math.isfinite(v)]:
            self.fault(f"emotions.csv: the valence of {name!r} is {valence[name]}")
        self.twice(names, "emotions.csv: ")
        if names and len(names) < 3:
            self.fault(f"{len(names)} emotion(s), must be at least 3")
        return tuple(names), valence

    def activities(self) -> tuple[Activity, ...]:
        rows = self.table("activities.csv", ("category", "steered", "text"))
        for where, row in rows:
            if row["steered"] not in ("0", "1"):
                self.fault(f"{where}: steered is {row['steered']!r}, must be 0 or 1")
        found = tuple(
            Activity(row["category"], row["steered"] == "1", row["text"]) for _, row in rows
        )
        if found:
            self.count("activities", found, N_ACTIVITIES)
            by_category = Counter(a.category for a in found)
            self.count("categories", tuple(by_category), N_CATEGORIES)
            for category, n in by_category.items():
                if n != PER_CATEGORY:
                    self.fault(f"category {category!r} has {n} activities, must be {PER_CATEGORY}")
            self.count("steered activities", [a for a in found if a.steered], N_ACTIVITIES // 2)
        return found

    def scenarios(self, emotions: Sequence[str]) -> tuple[Scenario, ...]:
        found = tuple(
            Scenario(row["emotion"], row["text"])
            for _, row in self.table("scenarios.csv", ("emotion", "text"))
        )
        if found:
            self.count("scenarios", found, N_SCENARIOS)
            self.twice([s.emotion for s in found], "scenarios.csv: ")
            self.named("scenarios.csv", [s.emotion for s in found], emotions)
        return found

    def numeric(
        self, emotions: Sequence[str], absent: Sequence[str]
    ) -> tuple[NumericTemplate, ...]:
        text = self.text("numeric.json")
        if "numeric" in absent:
            if text is not None:
                self.fault("pack.json says that numeric is absent, but there is a numeric.json")
            return ()
        raw = self.json("numeric.json", text, list)
        if raw is None:
            return ()
        self.count("numeric templates", raw, N_TEMPLATES)
        found = [
            t
            for number, entry in enumerate(raw, 1)
            if (t := self._numeric_template(entry, number)) is not None
        ]
        self.twice([t.key for t in found], "numeric.json: ")
        self.named("numeric.json", [e for t in found for e in t.signs], emotions)
        if len({frozenset(t.signs) for t in found}) > 1:
            self.fault("numeric.json: all templates must have signs for the same emotions")
        return tuple(found)

    def _numeric_template(self, entry: Any, number: int) -> NumericTemplate | None:
        if not isinstance(entry, dict):
            self.fault(f"numeric.json, template {number}: must be an object")
            return None
        where, before = f"numeric template {entry.get('key', number)!r}", len(self.faults)
        key, template, values, signs = (
            entry.get(k, "") for k in ("key", "template", "values", "signs")
        )
        if not (is_text(key) and is_text(template)):
            self.fault(f"{where} must have a key and a template")
        elif re.findall(r"[{}]", template.replace("{X}", "")) or "{X}" not in template:
            self.fault(f"{where} must have the field {{X}} and no other")
        if (
            not isinstance(values, list)
            or any(type(v) is not int for v in values)
            or values != sorted(set(values))
            or len(values) < 4
        ):
            self.fault(f"{where} must have at least 4 values, whole numbers in ascending order")
        if (
            not isinstance(signs, dict)
            or not signs
            or any(type(s) is not int or s not in (1, -1) for s in signs.values())
        ):
            self.fault(f"{where} must have signs that are 1 or -1")
        return (
            NumericTemplate(str(key), str(template), tuple(values), signs)
            if len(self.faults) == before
            else None
        )

    def blackmail(self, absent: Sequence[str]) -> BlackmailScenario | None:
        text = self.text("blackmail.json")
        if "blackmail" in absent:
            if text is not None:
                self.fault("pack.json says that blackmail is absent, but there is a blackmail.json")
            return None
        raw = self.json("blackmail.json", text, dict)
        return None if raw is None else read_blackmail(raw, self.fault)

    def topics(self) -> tuple[str, ...]:
        lines = (self.text("topics.txt") or "").splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                self.fault(f"topics.txt, line {number}: empty")
        self.twice([line for line in lines if line.strip()], "topics.txt: ")
        return tuple(lines)


def is_opening(value: Any) -> bool:
    """A question, the beginning of an answer, or both."""
    if not isinstance(value, dict) or set(value) != {"question", "answer"}:
        return False
    question, answer = value["question"], value["answer"]
    return (
        (question is None or is_text(question))
        and isinstance(answer, str)
        and (question is not None or is_text(answer))
    )


def is_self_report(value: Any) -> bool:
    if (
        not isinstance(value, dict)
        or set(value) != {"self", "other"}
        or not isinstance(value["other"], list)
        or not value["other"]
    ):
        return False
    return all(
        is_opening(o) and o["question"] is not None and is_text(o["answer"])
        for o in (value["self"], *value["other"])
    )


def opening(value: dict[str, Any]) -> Opening:
    return Opening(value["question"], value["answer"])
