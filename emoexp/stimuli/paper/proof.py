"""Fingerprints of the paper's lists and prompts, and the checks that a pack is the paper's.

A fingerprint has counts, hashes, and numbers that restore order and line breaks, but no text. A
list is proven when the sha256 of its normalised items, in the paper's order, is the one in
emoexp/data/published/hashes.json; a prompt when that of its normalised words is.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoexp.places import PUBLISHED
from emoexp.stimuli.blackmail import BlackmailScenario, read_blackmail
from emoexp.stimuli.checks import read_as

if TYPE_CHECKING:
    from emoexp.stimuli.pack import Stimuli

HASHES = PUBLISHED / "hashes.json"
JUDGE = Path(__file__).parent / "paper_judge.json"
"""The part of the paper's blackmail scenario that is emoexp's own: rules, question, and the names
that they use."""
PAPER = "paper"
"""The name that only a proven pack may have."""
LABELS, NUMERIC = "scenario_labels_12", "numeric_6"
TEMPLATES = {
    "preference": "preference_template",
    "feeling": "feeling_template",
    "story": "story_prompt",
    "dialogue": "dialogue_prompt",
}
"""Names of templates in pack.json, and of their fingerprints."""
SCENARIO = ("blackmail_system", "blackmail_prompt")
"""Names of the prompts of the blackmail scenario, which a source may lack."""
SELF = ("self_question", "self_answer")
OTHER = ("other_question", "other_answer")
OPEN = ("open_question",)
OPENINGS = (*SELF, *OTHER, *OPEN)
"""Names of the prompts of the three openings that the paper continues under steering; a source may
lack them too."""
_FOLDED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff"),
    }
)
"""The ASCII form of curly quotes and dashes; invisible characters become nothing."""


def normalise(text: str) -> str:
    """Returns a text in NFKC, with ASCII quotes and dashes, and single blanks for white space."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(_FOLDED)).split())


def bare_words(text: str) -> list[str]:
    """Returns the words of a prompt without what differs between its copies.

    These are names of fields, and what browsers take for a tag, such as a delimiter.
    """
    tag = r"<\s*(?:NEW\s+[A-Z]+|/?[A-Za-z_]+(?::[a-z]+)?)\s*>"
    untagged = re.sub(tag, " ", normalise(text))
    return re.sub(r"\{[^{}]*\}", "{}", untagged).split()


def digest(text: str) -> str:
    """Returns the sha256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def normalise_item(item: str) -> str:
    """Normalises each column of an item; tabs divide the columns."""
    return "\t".join(normalise(part) for part in item.split("\t"))


def hash_items(items: Sequence[str]) -> str:
    """Returns the sha256 of normalised items, one a line, in the order given."""
    return digest("\n".join(map(normalise_item, items)))


@dataclass(frozen=True)
class ListFingerprint:
    """The fingerprint of a list.

    Attributes:
        n: how many items.
        sha256: of the items in the paper's order.
        order: for each item of that order, its place among the items sorted by code point.
    """

    n: int
    sha256: str
    order: tuple[int, ...]

    def search(self, items: Sequence[str]) -> tuple[str, ...] | None:
        """Returns the paper's list, if `n` successive items are the paper's in any order.

        The result is normalised and in the paper's order; None where no such items are found.
        """
        normalised = [normalise_item(item) for item in items]
        for i in range(len(normalised) - self.n + 1):
            by_code_point = sorted(normalised[i : i + self.n])
            arranged = tuple(by_code_point[k] for k in self.order)
            if digest("\n".join(arranged)) == self.sha256:
                return arranged
        return None


@dataclass(frozen=True)
class PromptFingerprint:
    """The fingerprint of a prompt.

    Attributes:
        n: how many words; a field counts as one, delimiters and tags do not count.
        sha256: of the words joined by blanks, fields as `{}`.
        fields: the names of the fields in a pack, in order.
        lines: words on each line, tags included; -1 is a line with the delimiter. The page does not
            keep line breaks, so they are restored from this.
        delimiter: empty, or what stands between stories (from the PDF: browsers lose it).
        text_sha256: of the text as a pack has it.
        tags: (place among all words, tag), in order: tags that the page has lost.
    """

    n: int
    sha256: str
    fields: tuple[str, ...]
    lines: tuple[int, ...]
    delimiter: str
    text_sha256: str
    tags: tuple[tuple[int, str], ...] = ()

    def search(self, words: Sequence[str]) -> str | None:
        """Returns the prompt as a pack has it, if `n` successive words are the paper's; else None.

        Quotes around it do not count.

        Args:
            words: as `bare_words` returns them.
        """
        for i in range(len(words) - self.n + 1):
            run = " ".join(words[i : i + self.n]).strip("\"'")
            if digest(run) == self.sha256:
                return self._laid_out(run.split(" "))
        return None

    def _laid_out(self, words: Sequence[str]) -> str:
        """Returns the text of the words, with tags, line breaks, delimiters and names of fields."""
        names = iter(self.fields)
        tagged = list(words)
        for place, tag in self.tags:
            tagged.insert(place, tag)
        rest = iter(tagged)
        lines = [self.delimiter if n < 0 else " ".join(islice(rest, n)) for n in self.lines]
        return re.sub(r"\{\}", lambda _: "{" + next(names) + "}", "\n".join(lines))


@cache
def list_fingerprints() -> dict[str, ListFingerprint]:
    """Reads the fingerprints of the lists; the number in a name is the number of its items."""
    return _fingerprints("lists", ListFingerprint)


@cache
def prompt_fingerprints() -> dict[str, PromptFingerprint]:
    """Reads the fingerprints of the prompts that a paper pack must have."""
    return _fingerprints("prompts", PromptFingerprint)


@cache
def optional_fingerprints() -> dict[str, PromptFingerprint]:
    """Reads the fingerprints of the prompts that a source may lack: SCENARIO and OPENINGS."""
    return _fingerprints("optional", PromptFingerprint)


def _fingerprints(key: str, kind: Any) -> Any:
    """Reads what hashes.json has under `key`: fingerprints of a kind, by name."""
    return read_as(dict[str, kind], json.loads(HASHES.read_text(encoding="utf-8"))[key])


def lists_of(pack: Stimuli) -> dict[str, list[str]]:
    """Returns the lists of a pack as items, under the names of their fingerprints.

    The numeric templates are left out where the pack declares them absent.
    """
    lists = {
        "emotions_171": list(pack.emotions),
        "topics_100": list(pack.topics),
        "activities_64": [f"{a.category}\t{a.text}" for a in pack.activities],
        "scenarios_12": [f"{s.emotion}\t{s.text}" for s in pack.scenarios],
    }
    if "numeric" not in pack.absent:
        lists[NUMERIC] = [numeric_item(t.template, t.values) for t in pack.numeric]
    return lists


def numeric_item(template: str, values: Sequence[int]) -> str:
    """Returns the item of a numeric template: the template, a tab, and the values."""
    return f"{template}\t{','.join(map(str, values))}"


def paper_faults(pack: Stimuli) -> list[str]:
    """Returns a fault for each part of a pack that is not the paper's; none for a proven pack.

    The parts are its lists, its prompts, and what emoexp derives from published numbers.
    """
    lists, prompts = list_fingerprints(), prompt_fingerprints()
    faults = [
        f"{name} is not the paper's"
        for name, items in lists_of(pack).items()
        if hash_items(items) != lists[name].sha256
    ]
    faults += [
        f"{prompt} is not the paper's"
        for template, prompt in TEMPLATES.items()
        if digest(pack.templates.get(template, "")) != prompts[prompt].text_sha256
    ]
    faults += _derived_faults(pack)
    if pack.blackmail:
        faults += scenario_faults(pack.blackmail)
    return faults + opening_faults(pack)


def _derived_faults(pack: Stimuli) -> list[str]:
    """Returns a fault for each part that is not the one derived from published numbers.

    A steered half that came from the user's file is not compared.
    """
    from emoexp.stimuli.paper import published

    faults = []
    if pack.valence != published.valence_signs():
        faults.append("valence is not the sign of the paper's clusters")
    signs = {template.key: template.signs for template in pack.numeric}
    if "numeric" not in pack.absent and signs != published.numeric_signs():
        faults.append("the numeric signs are not those of the published trends")
    steered = tuple(i for i, activity in enumerate(pack.activities) if activity.steered)
    from_file = pack.provenance.get("steered", {}).get("from") == "a file"
    if not from_file and steered != published.activities().steered:
        faults.append("the steered half is not the paper's")
    return faults


def scenario_faults(scenario: BlackmailScenario) -> list[str]:
    """Returns a fault for each part of a blackmail scenario that is not as in the paper's pack.

    Its texts must be the paper's, its rules and question emoexp's.
    """
    scene, prompts = scenario.scene(0), optional_fingerprints()
    texts = zip(SCENARIO, (scene.system or "", scene.prompt), strict=True)
    faults = [
        f"{name} is not the paper's"
        for name, text in texts
        if digest(text) != prompts[name].text_sha256
    ]
    content = {"system": scenario.system, "prompt": scenario.prompt, **judge()}
    if scenario != read_blackmail(content, lambda _: None):
        faults.append("the rules or the question of the blackmail scenario are not emoexp's")
    return faults


def opening_faults(pack: Stimuli) -> list[str]:
    """Returns a fault if a pack has self-report or drift prompts that are not the paper's."""
    report = (pack.self_report.self, *pack.self_report.other) if pack.self_report else ()
    if not report and not pack.drift:
        return []
    prompts = optional_fingerprints()
    own, other = (tuple(prompts[name].text_sha256 for name in names) for names in (SELF, OTHER))
    free = (prompts[OPEN[0]].text_sha256, digest(""))
    hashes = [
        [(digest(o.question or ""), digest(o.answer)) for o in openings]
        for openings in (report, pack.drift)
    ]
    if hashes == [[own, other], [own, other, free]]:
        return []
    return ["the self-report and drift prompts are not the paper's"]


@cache
def judge() -> dict[str, Any]:
    """Reads blackmail.json of the paper's pack, without its texts."""
    return dict(json.loads(JUDGE.read_text(encoding="utf-8")))
