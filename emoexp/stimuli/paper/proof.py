"""What the paper's lists are, without holding them: counts, hashes, and numbers that restore order
and line breaks.

A list is proven when the sha256 of its normalised items, in the paper's order, is the one in
emoexp/data/published/hashes.json; a prompt when that of its normalised words is. A hash is a fact
about a text, not the text.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoexp.places import PUBLISHED
from emoexp.stimuli.blackmail import BlackmailScenario, read_blackmail

if TYPE_CHECKING:
    from emoexp.stimuli.pack import Stimuli

HASHES = PUBLISHED / "hashes.json"
JUDGE = Path(__file__).parent / "paper_judge.json"
"""emoexp's own part of the paper's blackmail scenario: rules, question, and the names that they
use."""
PAPER = "paper"
"""The name that only a proven pack may bear."""
LABELS, NUMERIC = "scenario_labels_12", "numeric_6"
TEMPLATES = {
    "preference": "preference_template",
    "feeling": "feeling_template",
    "story": "story_prompt",
    "dialogue": "dialogue_prompt",
}
"""Names of templates in pack.json, and of their fingerprints."""
SCENARIO = ("blackmail_system", "blackmail_prompt")
SELF, OTHER, OPEN = (
    ("self_question", "self_answer"),
    ("other_question", "other_answer"),
    ("open_question",),
)
OPENINGS = (*SELF, *OTHER, *OPEN)
"""What a source may lack: the fingerprints of the blackmail scenario; and of the three openings
that the paper continues under steering."""
_FOLDED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff"),
    }
)
"""Curly quotes, dashes, and characters that nobody sees."""


def normalise(text: str) -> str:
    """NFKC, quotes and dashes folded to ASCII, white space collapsed to single blanks."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(_FOLDED)).split())


def bare_words(text: str) -> list[str]:
    """The words of a prompt without what its copies differ in: names of fields, and what browsers
    take for a tag, such as a delimiter."""
    return re.sub(
        r"\{[^{}]*\}",
        "{}",
        re.sub(r"<\s*(?:NEW\s+[A-Z]+|/?[A-Za-z_]+(?::[a-z]+)?)\s*>", " ", normalise(text)),
    ).split()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def normalise_item(item: str) -> str:
    """An item may have columns, which tabs divide."""
    return "\t".join(normalise(part) for part in item.split("\t"))


def hash_items(items: Sequence[str]) -> str:
    """sha256 over normalised items, one a line, in the order given."""
    return digest("\n".join(map(normalise_item, items)))


@dataclass(frozen=True)
class ListFingerprint:
    """Attributes:
    n: how many items.
    sha256: of the items in the paper's order.
    order: for each item of that order, its place among the items sorted by code point.
    """

    n: int
    sha256: str
    order: tuple[int, ...]

    def search(self, items: Sequence[str]) -> tuple[str, ...] | None:
        """The first run of `n` of the items that is the paper's list, normalised and in the paper's
        order, whatever order it comes in."""
        clean = [normalise_item(item) for item in items]
        for i in range(len(clean) - self.n + 1):
            known = sorted(clean[i : i + self.n])
            arranged = tuple(known[k] for k in self.order)
            if digest("\n".join(arranged)) == self.sha256:
                return arranged
        return None


@dataclass(frozen=True)
class PromptFingerprint:
    """Attributes:
    n: how many words, a field being one, delimiters and tags none.
    sha256: of the words joined by blanks, fields as `{}`.
    fields: what the fields are called in a pack, in order.
    lines: words on each line, tags included; -1 is a line with the delimiter. The page does not
        keep line breaks, so they are restored from this.
    delimiter: empty, or what stands between stories (from the PDF: browsers lose it).
    tags: (place among all words, tag), in order: tags that the page has lost.
    text_sha256: of the text as a pack has it.
    """

    n: int
    sha256: str
    fields: tuple[str, ...]
    lines: tuple[int, ...]
    delimiter: str
    tags: tuple[tuple[int, str], ...]
    text_sha256: str

    def search(self, words: Sequence[str]) -> str | None:
        """The prompt as a pack has it, if some run of `words` (as of `bare_words`) is the paper's;
        quotes around it do not count."""
        for i in range(len(words) - self.n + 1):
            run = " ".join(words[i : i + self.n]).strip("\"'")
            if digest(run) == self.sha256:
                return self._laid_out(run.split(" "))
        return None

    def _laid_out(self, words: Sequence[str]) -> str:
        names, rest, lines = iter(self.fields), list(words), list[str]()
        for place, tag in self.tags:
            rest.insert(place, tag)
        for count in self.lines:
            lines.append(self.delimiter if count < 0 else " ".join(rest[: max(count, 0)]))
            rest = rest[max(count, 0) :]
        return re.sub(r"\{\}", lambda _: "{" + next(names) + "}", "\n".join(lines))


@cache
def list_fingerprints() -> dict[str, ListFingerprint]:
    """The lists, by name: the number in a name is the number of its items."""
    return {
        name: ListFingerprint(f["n"], f["sha256"], tuple(f["order"]))
        for name, f in _hashes()["lists"].items()
    }


@cache
def prompt_fingerprints() -> dict[str, PromptFingerprint]:
    """The prompts that a paper pack must have."""
    return _prompts("prompts")


@cache
def optional_fingerprints() -> dict[str, PromptFingerprint]:
    """The prompts that a source may lack: SCENARIO and OPENINGS."""
    return _prompts("optional")


def _prompts(kind: str) -> dict[str, PromptFingerprint]:
    return {
        name: PromptFingerprint(
            f["n"],
            f["sha256"],
            tuple(f["fields"]),
            tuple(f["lines"]),
            f["delimiter"],
            tuple((i, tag) for i, tag in f.get("tags", ())),
            f["text_sha256"],
        )
        for name, f in _hashes()[kind].items()
    }


def _hashes() -> dict[str, dict[str, dict]]:
    return dict(json.loads(HASHES.read_text(encoding="utf-8")))


def lists_of(pack: Stimuli) -> dict[str, list[str]]:
    """A pack's own lists as items, under the fingerprints' names."""
    return {
        "emotions_171": list(pack.emotions),
        "topics_100": list(pack.topics),
        "activities_64": [f"{a.category}\t{a.text}" for a in pack.activities],
        "scenarios_12": [f"{s.emotion}\t{s.text}" for s in pack.scenarios],
        **(
            {}
            if "numeric" in pack.absent
            else {NUMERIC: [numeric_item(t.template, t.values) for t in pack.numeric]}
        ),
    }


def numeric_item(template: str, values: Sequence[int]) -> str:
    return f"{template}\t{','.join(map(str, values))}"


def paper_faults(pack: Stimuli) -> list[str]:
    """What of a pack is not the paper's: its lists, prompts, and what emoexp derives from published
    numbers. Empty for a proven pack."""
    from emoexp.stimuli.paper import published

    lists, prompts = list_fingerprints(), prompt_fingerprints()
    found = [
        f"{name} is not the paper's"
        for name, items in lists_of(pack).items()
        if hash_items(items) != lists[name].sha256
    ]
    found += [
        f"{p} is not the paper's"
        for t, p in TEMPLATES.items()
        if digest(pack.templates.get(t, "")) != prompts[p].text_sha256
    ]
    if pack.valence != published.valence_signs():
        found.append("valence is not the sign of the paper's clusters")
    trends = published.numeric_signs()
    if "numeric" not in pack.absent and {t.key: t.signs for t in pack.numeric} != trends:
        found.append("the numeric signs are not those of the published trends")
    given = pack.provenance.get("steered", {}).get("from") == "a file"
    if (
        not given
        and tuple(i for i, a in enumerate(pack.activities) if a.steered)
        != published.activities().steered
    ):
        found.append("the steered half is not the paper's")
    return (
        found + (scenario_faults(pack.blackmail) if pack.blackmail else []) + opening_faults(pack)
    )


def scenario_faults(scenario: BlackmailScenario) -> list[str]:
    """What of a blackmail scenario is not the paper's, and what of its judge is not emoexp's."""
    scene, prompts = scenario.scene(0), optional_fingerprints()
    texts = zip(SCENARIO, (scene.system or "", scene.prompt), strict=True)
    found = [
        f"{name} is not the paper's"
        for name, text in texts
        if digest(text) != prompts[name].text_sha256
    ]
    if scenario != read_blackmail(
        {"system": scenario.system, "prompt": scenario.prompt, **judge()}, lambda _: None
    ):
        found.append("the rules or the question of the blackmail scenario are not emoexp's")
    return found


def opening_faults(pack: Stimuli) -> list[str]:
    report = (pack.self_report.self, *pack.self_report.other) if pack.self_report else ()
    if not report and not pack.drift:
        return []
    prompts = optional_fingerprints()
    wanted = [
        (*(prompts[name].text_sha256 for name in names), digest(""))[:2]
        for names in (SELF, OTHER, OPEN)
    ]
    given = [
        [(digest(o.question or ""), digest(o.answer)) for o in openings]
        for openings in (report, pack.drift)
    ]
    return (
        []
        if given == [wanted[:2], wanted]
        else ["the self-report and drift prompts are not the paper's"]
    )


@cache
def judge() -> dict[str, Any]:
    """blackmail.json of the paper's pack, but for its texts."""
    return dict(json.loads(JUDGE.read_text(encoding="utf-8")))
