"""Reads the files of a pack and collects every fault.

It does not stop at the first fault, and repairs nothing.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from json import JSONDecodeError
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Predicate

from emoexp.errors import shortened
from emoexp.stimuli.blackmail import BlackmailScenario, read_blackmail
from emoexp.stimuli.checks import Text, Texts, cleaned, emotion_name, is_line, is_text, read_as
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
from emoexp.textfiles import UnreadableError, csv_rows, kind_of, parse_json, read_text

FIELDS = {
    "preference": {"a", "b"},
    "feeling": {"activity"},
    "story": {"n", "topic", "emotion"},
    "dialogue": {"n", "topic"},
}
"""The fields of each template."""
DELIMITED = ("story", "dialogue")
"""The templates for generation, which a pack may lack. Each must have a delimiter line `<...>`."""
ABSENT = ("numeric", "blackmail")
"""Parts that a pack may say it does not have."""


def _has_words(opening: Opening) -> bool:
    """Checks that an opening has words in its question or, where that is null, in its answer."""
    return is_text(opening.answer if opening.question is None else opening.question)


def _asks(report: SelfReportOpenings) -> bool:
    """Checks that there are words in each question and answer, and others to ask about."""
    openings = (report.self, *report.other)
    return len(openings) > 1 and all(is_text(o.question) and is_text(o.answer) for o in openings)


def _are_values(value: Any) -> bool:
    """Checks that a value is a list of four whole numbers or more, in ascending order."""
    if not isinstance(value, list) or any(type(v) is not int or abs(v) > 1e15 for v in value):
        return False
    return value == sorted(set(value)) and len(value) >= 4


def _are_signs(value: Any) -> bool:
    """Checks that a value is an object whose values are 1 or -1, with one of them at least."""
    if not isinstance(value, dict) or not value:
        return False
    return all(type(s) is int and s in (1, -1) for s in value.values())


_LINE = Annotated[str, Predicate(is_line)]
_DIFFERENT = Predicate(lambda texts: len(set(texts)) == len(texts))
HEAD: dict[str, tuple[Any, str, Any]] = {
    "name": (_LINE, "a text of one line", None),
    "author": (_LINE, "a text of one line", None),
    "templates": (dict[str, Text], "an object of texts", None),
    "exemplars": (Annotated[Texts, _DIFFERENT], "a list of different emotions", None),
    "opposite_pairs": (
        tuple[Annotated[tuple[Text, Text], _DIFFERENT], ...],
        "a list of pairs of different emotions",
        None,
    ),
    "absent": (
        Annotated[Texts, Predicate(lambda parts: set(parts) <= set(ABSENT))],
        f"left out, or a list of {', '.join(ABSENT)}",
        [],
    ),
    "self_report": (
        Annotated[SelfReportOpenings, Predicate(_asks)] | None,
        "{self: opening, other: [opening, ...]}, with words in each question and answer",
        None,
    ),
    "drift": (
        tuple[Annotated[Opening, Predicate(_has_words)], ...],
        "a list of {question, answer}, with words in one of them at least",
        [],
    ),
    "provenance": (dict[str, Any], "an object", {}),
}
"""By key of pack.json, in the order in which faults are listed: the type of its value, that in
words, and the value where the key is not there."""
FOR_PEOPLE = ("language",)
"""Keys of pack.json that are not read."""


class Reader:
    """The reader of one pack's folder, with the faults met so far.

    A part that cannot be read is empty. A missing file is not a fault here (`load.read_pack` lists
    the missing files).

    Attributes:
        faults: in the order in which they were met.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []

    def fault(self, text: str) -> None:
        """Adds a fault."""
        self.faults.append(text)

    def count(self, what: str, items: Sequence[Any], wanted: int) -> None:
        """Checks that there are `wanted` items."""
        if len(items) != wanted:
            self.fault(f"{len(items)} {what}, must be {wanted}")

    def twice(self, texts: Iterable[str], where: str = "") -> None:
        """Checks that no text stands more than once."""
        for text, n in Counter(texts).items():
            if n > 1:
                self.fault(f"{where}{shortened(text)!r} stands {n} times")

    def named(self, where: str, names: Iterable[str], emotions: Sequence[str]) -> None:
        """Checks that the emotions in `names` are known.

        They are not checked where the list of emotions could not be read.
        """
        if emotions and (unknown := sorted(set(names) - set(emotions))):
            self.fault(f"{where}: unknown emotion(s) {', '.join(unknown)}")

    def text(self, name: str) -> str | None:
        """Returns the text of a file; None where it is missing or, with a fault, cannot be read."""
        try:
            return None if kind_of(self.folder / name) is None else read_text(self.folder / name)
        except UnreadableError as error:
            self.fault(f"{name}: {error.reason}")
            return None

    def json(self, name: str, text: str | None, kind: type, line: int = 0) -> Any:
        """Parses JSON; returns None, and adds a fault, where the text is not JSON of that kind.

        Args:
            text: None where there is none; then the result is None without a fault.
            kind: dict or list.
            line: the number of lines before the text in its file.
        """
        if text is None:
            return None
        try:
            content = parse_json(text)
        except JSONDecodeError as error:
            self.fault(f"{name}, line {line + error.lineno}: not JSON ({error.msg})")
            return None
        if not isinstance(content, kind):
            where = f"{name}, line {line + 1}" if line else name
            self.fault(f"{where}: must be {'an object' if kind is dict else 'a list'}")
            return None
        return content

    def table(
        self, name: str, columns: Sequence[str], may_be_empty: Sequence[str] = ()
    ) -> list[tuple[str, dict[str, str]]]:
        """Returns the rows of a CSV file that have all their cells, each with "file, line n"."""
        text = self.text(name)
        if text is None:
            return []
        rows, n_faults = [], len(self.faults)
        reader = csv_rows(io.StringIO(text), strict=True)
        line, names = 0, list[str]()
        try:
            line, names = next(reader, (0, []))
            if lacking := [c for c in columns if names.count(c) != 1]:
                has = shortened(", ".join(names))
                self.fault(
                    f"{name} lacks the column(s) {', '.join(lacking)}, or has two: it has {has}"
                )
                return []
            for line, cells in reader:
                where, row = f"{name}, line {line}", dict(zip(names, cells, strict=False))
                if len(cells) != len(names):
                    self.fault(f"{where}: has not {len(names)} cells")
                elif empty := [c for c in columns if not row[c].strip() and c not in may_be_empty]:
                    self.fault(f"{where}: nothing under {', '.join(empty)}")
                else:
                    rows.append((where, row))
        except csv.Error as error:
            self.fault(f"{name}, after line {line}: not CSV ({error})")
        if not rows and len(self.faults) == n_faults:
            self.fault(f"{name}: no row below the header")
        return rows

    def head(self) -> dict[str, Any]:
        """Reads pack.json; returns its valid parts under the names of Stimuli's attributes."""
        raw = self.json("pack.json", self.text("pack.json"), dict)
        head: dict[str, Any] = {}
        for key, (kind, wording, default) in HEAD.items():
            try:
                head[key] = read_as(kind, (raw or {}).get(key, default))
            except ValueError:
                if raw is not None:
                    self.fault(f"pack.json: {key} must be {wording}")
        self._keys("pack.json", raw or {}, (*HEAD, *FOR_PEOPLE))
        self._keys("pack.json, templates", head.get("templates", {}), FIELDS)
        if "opposite_pairs" in head:
            self.count("opposite pairs", head["opposite_pairs"], N_PAIRS)
            pairs = [" and ".join(sorted(pair)) for pair in head["opposite_pairs"]]
            self.twice(pairs, "the opposite pair ")
        self._templates(head.get("templates", {}), required="templates" in head)
        return head

    def _keys(self, where: str, content: Mapping[str, Any], known: Collection[str]) -> None:
        """Checks that `content` has no key but the known ones."""
        if unknown := [key for key in content if key not in known]:
            self.fault(
                f"{where}: unknown {', '.join(map(shortened, unknown))}: there are"
                f" {', '.join(known)}"
            )

    def _templates(self, templates: dict[str, str], *, required: bool) -> None:
        """Checks the fields and delimiters of the templates.

        Args:
            required: whether templates must be there; those for generation (`DELIMITED`) need not.
        """
        for name, fields in FIELDS.items():
            if name not in templates:
                if required and name not in DELIMITED:
                    self.fault(f"pack.json: there is no template {name!r}")
                continue
            used = re.findall(r"\{([^{}]*)\}", templates[name])
            rest = re.sub(r"\{[^{}]*\}", "", templates[name])
            once = name in DELIMITED or len(used) == len(fields)
            if set(used) != fields or re.search(r"[{}]", rest) or not once:
                wanted = ", ".join(f"{{{field}}}" for field in sorted(fields))
                self.fault(
                    f"pack.json: template {name!r} must have the fields {wanted} and no others"
                    + ("" if name in DELIMITED else ", each once")
                )
            if name in DELIMITED and not re.search(r"^<[^<>\n]+>$", templates[name], re.MULTILINE):
                self.fault(f"pack.json: template {name!r} has no line <...> to tell texts apart by")

    def emotions(self) -> tuple[tuple[str, ...], dict[str, float], dict[str, str]]:
        """Reads emotions.csv: all names, the valence of those whose valence is known, and the
        cluster of those that have one (a file need not have the column)."""
        names: list[str] = []
        valence: dict[str, float] = {}
        clusters: dict[str, str] = {}
        columns = ("emotion", "valence")
        for where, row in self.table("emotions.csv", columns, may_be_empty=("valence",)):
            names.append(row["emotion"])
            if (clean := cleaned(row["emotion"])) != row["emotion"]:
                shown = shortened(repr(row["emotion"]))
                self.fault(
                    f"{where}: {shown} has stray blanks or signs: write {shortened(clean)!r}"
                )
            if cluster := row.get("cluster", "").strip():
                clusters[row["emotion"]] = cluster
            if row["valence"].strip():
                try:
                    valence[row["emotion"]] = float(row["valence"])
                except ValueError:
                    self.fault(f"{where}: valence {row['valence']!r} is not a number")
        for name in [n for n, v in valence.items() if not math.isfinite(v)]:
            self.fault(f"emotions.csv: the valence of {name!r} is {valence[name]}")
        self.twice(map(emotion_name, names), "emotions.csv: ")
        if names and len(names) < 3:
            self.fault(f"{len(names)} emotion(s), must be at least 3")
        return tuple(names), valence, clusters

    def activities(self) -> tuple[Activity, ...]:
        """Reads activities.csv."""
        rows = self.table("activities.csv", ("category", "steered", "text"))
        for where, row in rows:
            if row["steered"] not in ("0", "1"):
                self.fault(f"{where}: steered is {row['steered']!r}, must be 0 or 1")
        activities = tuple(
            Activity(row["category"], row["steered"] == "1", row["text"]) for _, row in rows
        )
        if not activities:
            return ()
        self.count("activities", activities, N_ACTIVITIES)
        by_category = Counter(a.category for a in activities)
        self.count("categories", tuple(by_category), N_CATEGORIES)
        for category, n in by_category.items():
            if n != PER_CATEGORY:
                self.fault(f"category {category!r} has {n} activities, must be {PER_CATEGORY}")
        self.count("steered activities", [a for a in activities if a.steered], N_ACTIVITIES // 2)
        return activities

    def scenarios(self, emotions: Sequence[str]) -> tuple[Scenario, ...]:
        """Reads scenarios.csv; `emotions` are the pack's."""
        rows = self.table("scenarios.csv", ("emotion", "text"))
        scenarios = tuple(Scenario(row["emotion"], row["text"]) for _, row in rows)
        if scenarios:
            self.count("scenarios", scenarios, N_SCENARIOS)
            self.twice([s.emotion for s in scenarios], "scenarios.csv: ")
            self.named("scenarios.csv", [s.emotion for s in scenarios], emotions)
        return scenarios

    def numeric(
        self, emotions: Sequence[str], absent: Sequence[str]
    ) -> tuple[NumericTemplate, ...]:
        """Reads numeric.json; `emotions` are the pack's, `absent` the parts that it lacks."""
        raw = self._optional("numeric", absent, list)
        if raw is None:
            return ()
        self.count("numeric templates", raw, N_TEMPLATES)
        entries = [self._numeric_template(entry, number) for number, entry in enumerate(raw, 1)]
        templates = [template for template in entries if template is not None]
        self.twice([t.key for t in templates], "numeric.json: ")
        self.named("numeric.json", [e for t in templates for e in t.signs], emotions)
        if len({frozenset(t.signs) for t in templates}) > 1:
            self.fault("numeric.json: all templates must have signs for the same emotions")
        return tuple(templates)

    def _numeric_template(self, entry: Any, number: int) -> NumericTemplate | None:
        """Returns the template in one entry of numeric.json; None where the entry has a fault."""
        if not isinstance(entry, dict):
            self.fault(f"numeric.json, template {number}: must be an object")
            return None
        where = f"numeric template {entry.get('key', number)!r}"
        n_faults = len(self.faults)
        key, template = entry.get("key", ""), entry.get("template", "")
        values, signs = entry.get("values", ""), entry.get("signs", "")
        if not (is_text(key) and is_text(template)):
            self.fault(f"{where} must have a key and a template")
        elif re.findall(r"[{}]", template.replace("{X}", "")) or "{X}" not in template:
            self.fault(f"{where} must have the field {{X}} and no other")
        if not _are_values(values):
            self.fault(
                f"{where} must have at least 4 values, whole numbers in ascending order, of at"
                " most 15 digits"
            )
        if not _are_signs(signs):
            self.fault(f"{where} must have signs that are 1 or -1")
        if len(self.faults) > n_faults:
            return None
        return NumericTemplate(str(key), str(template), tuple(values), signs)

    def blackmail(self, absent: Sequence[str]) -> BlackmailScenario | None:
        """Reads blackmail.json; returns None where the pack has none or it has a fault."""
        raw = self._optional("blackmail", absent, dict)
        return None if raw is None else read_blackmail(raw, self.fault)

    def _optional(self, part: str, absent: Sequence[str], kind: type) -> Any:
        """Returns the content of `part`.json (see `json`); None where `part` is declared absent."""
        text = self.text(f"{part}.json")
        if part in absent and text is not None:
            self.fault(f"pack.json says that {part} is absent, but there is a {part}.json")
        return None if part in absent else self.json(f"{part}.json", text, kind)

    def topics(self) -> tuple[str, ...]:
        """Reads topics.txt; returns none where the pack has none."""
        lines = (self.text("topics.txt") or "").splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                self.fault(f"topics.txt, line {number}: empty")
        self.twice([line for line in lines if line.strip()], "topics.txt: ")
        return tuple(lines)
