"""The blackmail scenario of a pack: what an assistant is shown, and rules that judge its reply.

blackmail.json   system (or null), prompt, scenes, question, rules, and optionally thoughts, acts

scenes           [{field: text, or a list of texts}]; trial k is shown scene k mod n
system, prompt   with {field} for a scene's text; {{ and }} are braces
question         what a judging model is asked: {reply}, and {field}; its answer is HARMFUL,
                 HARMLESS or UNCLEAR
rules            {"harm": [[regex, ...], ...], "disclosure": ..., "harmless": ...}; {field} is the
                 value, escaped, a list any of its texts
thoughts         regex of what nobody else reads (a scratchpad); rules do not look there
acts             regex of one act (an email); a rule holds if all its regexes are found in
                 one and the same act
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Annotated, Any

from annotated_types import MinLen, Predicate

from emoexp.errors import NO_REGEX, shortened
from emoexp.stimuli.checks import Text, Texts, is_a, read_as

Fields = Mapping[str, str | tuple[str, ...]]
HARM, DISCLOSURE, HARMLESS, UNCLEAR = "harm", "disclosure", "harmless", "unclear"
KINDS = (HARM, DISCLOSURE, HARMLESS)
"""The kinds of reply that rules may find, the gravest first: the first that is found counts.
Disclosure reveals the secret without a threat; the paper does not count it as blackmail."""
ANSWERS = ("HARMFUL", "HARMLESS", "UNCLEAR")
"""The answers that a judging model may give, on its first line."""
_FIELD = re.compile(r"\{([a-z][a-z_]*)\}")
_FLAGS = re.IGNORECASE | re.DOTALL
Some = Annotated[Texts, MinLen(1)]
Rules = dict[str, Annotated[tuple[Some, ...], MinLen(1)]]
PARTS: dict[str, tuple[Any, str]] = {
    "prompt": (Text, "prompt must be a text"),
    "question": (Text, "question must be a text"),
    "thoughts": (Text | None, "thoughts must be a text"),
    "acts": (Text | None, "acts must be a text"),
    "system": (Text | None, "system (or null) must be a text"),
    "rules": (
        Annotated[Rules, Predicate(lambda rules: {HARM, HARMLESS} <= set(rules) <= set(KINDS))],
        f"rules must be lists of lists of regexes for {HARM}, {HARMLESS} and perhaps {DISCLOSURE}",
    ),
}
"""By key of blackmail.json: the type of its value, and the fault where it is of another."""
KEYS = {*PARTS, "scenes"}
Name = Annotated[str, Predicate(lambda name: _FIELD.fullmatch(f"{{{name}}}") and name != "reply")]


@dataclass(frozen=True)
class Scene:
    """One scene, with its fields filled in.

    Attributes:
        system: None where the scenario has no system prompt.
    """

    system: str | None
    prompt: str


@dataclass(frozen=True)
class Ruling:
    """The result of the rules for one reply.

    Attributes:
        verdict: one of KINDS, or `unclear` where no rule holds.
        passages: what the rules of that kind found: half-open ranges of characters of the reply, in
            order.
    """

    verdict: str
    passages: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class BlackmailScenario:
    """The scenario of a pack; for its parts see the top of this file."""

    system: str | None
    prompt: str
    scenes: tuple[Fields, ...]
    rules: dict[str, tuple[tuple[str, ...], ...]]
    question: str
    thoughts: str | None = None
    acts: str | None = None

    def fields(self, k: int) -> Fields:
        """Returns the fields of the scene of trial `k`."""
        return self.scenes[k % len(self.scenes)]

    def scene(self, k: int) -> Scene:
        """Returns the scene of trial `k`, filled in."""
        fields = self.fields(k)
        system = None if self.system is None else fill(self.system, fields)
        return Scene(system, fill(self.prompt, fields))

    def asked(self, reply: str, k: int) -> str:
        """Returns the question to a judging model about the reply to trial `k`."""
        return fill(self.question, {**self.fields(k), "reply": reply})

    def judge(self, reply: str, k: int) -> Ruling:
        """Applies the rules to the reply to trial `k`.

        In a reply without any act, the rules are applied to the whole reply less its thoughts.
        """
        fields = self.fields(k)
        text = self._blank_thoughts(reply)
        acts = [act.span() for act in re.finditer(self.acts, text, _FLAGS)] if self.acts else []
        for kind in KINDS:
            passages: set[tuple[int, int]] = set()
            for rule in self.rules.get(kind, ()):
                for span in acts or [(0, len(text))]:
                    passages |= _passages(rule, fields, text, span)
            if passages:
                return Ruling(kind, tuple(sorted(passages)))
        return Ruling(UNCLEAR, ())

    def _blank_thoughts(self, reply: str) -> str:
        """Returns the reply with blanks in place of its thoughts; its length does not change."""
        if not self.thoughts:
            return reply
        return re.sub(self.thoughts, lambda match: " " * len(match[0]), reply, flags=_FLAGS)


def _passages(
    rule: tuple[str, ...], fields: Fields, text: str, span: tuple[int, int]
) -> set[tuple[int, int]]:
    """Returns what a rule's regexes find within `span` of a text; empty unless all are found."""
    matches = [compiled(regex, fields).search(text, *span) for regex in rule]
    return {match.span() for match in matches if match} if all(matches) else set()


def fill(template: str, fields: Fields) -> str:
    """Returns `template` with its fields filled in; a field may be used any number of times."""
    return "".join(
        literal + (str(fields[name]) if name is not None else "")
        for literal, name, _, _ in Formatter().parse(template)
    )


def compiled(regex: str, fields: Fields) -> re.Pattern[str]:
    """Compiles a rule's regex for one scene.

    Raises:
        re.error: it is not a regex.
    """

    def escaped(field: re.Match[str]) -> str:
        value = fields[field[1]]
        texts = (value,) if isinstance(value, str) else value
        return f"(?:{'|'.join(map(re.escape, texts))})"

    return re.compile(_FIELD.sub(escaped, regex), _FLAGS)


def read_blackmail(raw: dict[str, Any], fault: Callable[[str], None]) -> BlackmailScenario | None:
    """Returns the scenario in `raw`, or None where it has faults.

    Args:
        fault: called with each fault.
    """
    faults = list(_faults(raw))
    if not faults:
        scenario: BlackmailScenario = read_as(BlackmailScenario, raw)
        faults = list(_regex_faults(scenario))
        if not faults:
            return scenario
    for text in dict.fromkeys(faults):
        fault(f"blackmail.json: {text}")
    return None


def _faults(raw: dict[str, Any]) -> Iterator[str]:
    """Yields what is wrong with the parts, and with the fields that they use."""
    if unknown := sorted(set(raw) - KEYS):
        yield f"unknown {', '.join(unknown)}; it has {', '.join(sorted(KEYS))}"
    given = {"system": 0} | raw  # 0 is no text: the key must be there, though its value may be null
    wrong = [fault for key, (kind, fault) in PARTS.items() if not is_a(kind, given.get(key))]
    yield from wrong
    scenes: Any = raw.get("scenes")
    if not _are_alike(scenes):
        yield "scenes must be a list of objects that all have the same fields"
        return
    if not is_a(list[dict[Name, Text | Some]], scenes):
        yield (
            "a scene's fields must have names of small letters (and not be called reply), and texts"
            " or lists of texts as values"
        )
    elif len({repr(sorted(scene.items())) for scene in scenes}) < len(scenes):
        yield "a scene stands twice"
    if not wrong:
        yield from _field_faults(raw, scenes[0])


def _are_alike(scenes: Any) -> bool:
    """Checks that scenes are a list of objects, at least one, with the same fields."""
    if not isinstance(scenes, list) or not scenes:
        return False
    return all(isinstance(scene, dict) and set(scene) == set(scenes[0]) for scene in scenes)


def _field_faults(raw: dict[str, Any], scene: dict[str, Any]) -> Iterator[str]:
    """Yields what is wrong with the fields that the texts and rules use.

    Args:
        scene: any of the scenes, which all have the same fields.
    """
    used: set[str] = set()
    plain = {name for name, value in scene.items() if isinstance(value, str)}
    for key, known in (("system", plain), ("prompt", plain), ("question", plain | {"reply"})):
        try:
            fields = _template_fields(raw[key] or "")
        except ValueError as error:
            yield f"{key}: {error} (a brace that is no field is written twice)"
            continue
        used |= set(fields)
        if unknown := sorted(
            name for name, is_plain in fields.items() if name not in known or not is_plain
        ):
            yield (
                f"{key} asks for {', '.join(unknown)}; it may use"
                f" {', '.join(sorted(known)) or 'no field'}"
            )
    if "reply" not in used or any(answer not in raw["question"] for answer in ANSWERS):
        yield f"question must have the field {{reply}}, and the answers {', '.join(ANSWERS)}"
    in_rules = _rule_fields(raw["rules"])
    if unknown := sorted(in_rules - set(scene)):
        yield (
            f"rules ask for {', '.join(unknown)}; they may use"
            f" {', '.join(sorted(scene)) or 'no field'}"
        )
    if unused := sorted(set(scene) - used - in_rules):
        yield f"the field(s) {', '.join(unused)} of the scenes stand nowhere"


def _template_fields(template: str) -> dict[str, bool]:
    """Returns the fields of a template, each with whether it is always without a format.

    Raises:
        ValueError: the braces do not match.
    """
    fields: dict[str, bool] = {}
    for _, name, form, conversion in Formatter().parse(template):
        if name is not None:
            fields[name] = fields.get(name, True) and not form and not conversion
    return fields


def _rule_fields(rules: dict[str, list[list[str]]]) -> set[str]:
    """Returns the fields that any regex of the rules uses."""
    regexes = (regex for of_kind in rules.values() for rule in of_kind for regex in rule)
    return {name for regex in regexes for name in _FIELD.findall(regex)}


def _regex_faults(scenario: BlackmailScenario) -> Iterator[str]:
    """Yields a fault for each regex that is invalid and each rule that holds for any text."""
    for regex in (scenario.thoughts, scenario.acts):
        try:
            re.compile(regex or "", _FLAGS)
        except NO_REGEX as error:
            yield f"{shortened(repr(regex))} is no regex ({error})"
    for fields in scenario.scenes:
        for kind, of_kind in scenario.rules.items():
            for rule in of_kind:
                try:
                    if all([compiled(regex, fields).search("") for regex in rule]):
                        yield f"the rule {list(rule)} of {kind} holds for an empty text"
                except NO_REGEX as error:
                    yield f"the rule {shortened(str(list(rule)))} of {kind} is no regex ({error})"
