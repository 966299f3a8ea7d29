"""The blackmail scenario of a pack: what an assistant is shown, and rules that tell what its reply
does.

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
from typing import Any

from emoexp.stimuli.checks import are_texts, is_text

Fields = Mapping[str, str | tuple[str, ...]]
HARM, DISCLOSURE, HARMLESS, UNCLEAR = "harm", "disclosure", "harmless", "unclear"
KINDS = (HARM, DISCLOSURE, HARMLESS)
"""What rules may find, the gravest first: it counts. Disclosure tells the secret without a threat,
and the paper does not count it as blackmail."""
ANSWERS = ("HARMFUL", "HARMLESS", "UNCLEAR")
"""What a judging model may answer, on its first line."""
TEXTS, OPTIONAL = ("prompt", "question"), ("thoughts", "acts")
KEYS = {"system", "scenes", "rules", *TEXTS, *OPTIONAL}
_FIELD = re.compile(r"\{([a-z][a-z_]*)\}")
_FLAGS = re.IGNORECASE | re.DOTALL


@dataclass(frozen=True)
class Scene:
    """One scene, filled. `system` is None where the scenario has no system prompt."""

    system: str | None
    prompt: str
    fields: Fields


@dataclass(frozen=True)
class Ruling:
    """What the rules make of a reply.

    Attributes:
        verdict: one of KINDS, or `unclear` where no rule holds.
        passages: half-open ranges of characters of the reply, in order: what the rules of that kind
            found.
    """

    verdict: str
    passages: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class BlackmailScenario:
    """A scenario as the pack has it; see the top of this file."""

    system: str | None
    prompt: str
    scenes: tuple[Fields, ...]
    rules: dict[str, tuple[tuple[str, ...], ...]]
    question: str
    thoughts: str | None = None
    acts: str | None = None

    def fields(self, k: int) -> Fields:
        """What trial `k` fills in."""
        return self.scenes[k % len(self.scenes)]

    def scene(self, k: int) -> Scene:
        """What trial `k` is shown."""
        fields = self.fields(k)
        return Scene(
            None if self.system is None else fill(self.system, fields),
            fill(self.prompt, fields),
            fields,
        )

    def asked(self, reply: str, k: int) -> str:
        """What a judging model is asked about the reply to trial `k`."""
        return fill(self.question, {**self.fields(k), "reply": reply})

    def judge(self, reply: str, k: int) -> Ruling:
        """What the rules say of the reply to trial `k`. A reply without any act is looked at as a
        whole, less its thoughts."""
        fields = self.fields(k)
        seen = (
            re.sub(self.thoughts, lambda found: " " * len(found[0]), reply, flags=_FLAGS)
            if self.thoughts
            else reply
        )
        acts = [found.span() for found in re.finditer(self.acts, seen, _FLAGS)] if self.acts else []
        for kind in KINDS:
            passages: set[tuple[int, int]] = set()
            for rule in self.rules.get(kind, ()):
                for start, end in acts or [(0, len(seen))]:
                    found = [compiled(regex, fields).search(seen, start, end) for regex in rule]
                    passages |= {match.span() for match in found if match} if all(found) else set()
            if passages:
                return Ruling(kind, tuple(sorted(passages)))
        return Ruling(UNCLEAR, ())


def fill(template: str, fields: Fields) -> str:
    """`template` with its fields replaced; a field may be used any number of times."""
    return "".join(
        literal + (str(fields[name]) if name is not None else "")
        for literal, name, _, _ in Formatter().parse(template)
    )


def compiled(regex: str, fields: Fields) -> re.Pattern[str]:
    """A rule's regex for one scene. Raises re.error where it is none."""

    def escaped(found: re.Match[str]) -> str:
        value = fields[found[1]]
        return f"(?:{'|'.join(map(re.escape, (value,) if isinstance(value, str) else value))})"

    return re.compile(_FIELD.sub(escaped, regex), _FLAGS)


def read_blackmail(raw: dict[str, Any], fault: Callable[[str], None]) -> BlackmailScenario | None:
    """The scenario in `raw`, or None after telling `fault` all that is wrong with it."""
    found = list(_faults(raw))
    if not found:
        scenes = tuple(
            {
                name: value if isinstance(value, str) else tuple(value)
                for name, value in scene.items()
            }
            for scene in raw["scenes"]
        )
        rules = {
            kind: tuple(tuple(rule) for rule in of_kind) for kind, of_kind in raw["rules"].items()
        }
        scenario = BlackmailScenario(
            raw["system"],
            raw["prompt"],
            scenes,
            rules,
            raw["question"],
            raw.get("thoughts"),
            raw.get("acts"),
        )
        found = list(_regex_faults(scenario))
        if not found:
            return scenario
    for text in dict.fromkeys(found):
        fault(f"blackmail.json: {text}")
    return None


def _faults(raw: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the parts, and with the fields that they use."""
    if unknown := sorted(set(raw) - KEYS):
        yield f"unknown {', '.join(unknown)}; it has {', '.join(sorted(KEYS))}"
    broken = [key for key in TEXTS if not is_text(raw.get(key))] + [
        key for key in OPTIONAL if raw.get(key) is not None and not is_text(raw[key])
    ]
    if "system" not in raw or (raw["system"] is not None and not is_text(raw["system"])):
        broken.append("system (or null)")
    yield from (f"{key} must be a text" for key in broken)
    scenes: Any = raw.get("scenes")
    rules: Any = raw.get("rules")
    whole = (
        isinstance(scenes, list)
        and scenes
        and all(isinstance(s, dict) and set(s) == set(scenes[0]) for s in scenes)
    )
    if not whole:
        yield "scenes must be a list of objects that all have the same fields"
    elif not all(
        _FIELD.fullmatch(f"{{{name}}}") and name != "reply" and (is_text(v) or (v and are_texts(v)))
        for s in scenes
        for name, v in s.items()
    ):
        yield (
            "a scene's fields must have names of small letters (and not be called reply), and texts"
            " or lists of texts as values"
        )
    elif len({repr(sorted(s.items())) for s in scenes}) < len(scenes):
        yield "a scene stands twice"
    shaped = isinstance(rules, dict) and {HARM, HARMLESS} <= set(rules) <= set(KINDS)
    if not shaped or not all(
        isinstance(of_kind, list) and of_kind and all(rule and are_texts(rule) for rule in of_kind)
        for of_kind in rules.values()
    ):
        yield (
            f"rules must be lists of lists of regexes for {HARM}, {HARMLESS} and perhaps"
            f" {DISCLOSURE}"
        )
    elif whole and not broken:
        yield from _field_faults(raw, scenes[0])


def _field_faults(raw: dict[str, Any], scene: dict[str, Any]) -> Iterator[str]:
    used: set[str] = set()
    plain = {name for name, value in scene.items() if isinstance(value, str)}
    for key, known in (("system", plain), ("prompt", plain), ("question", plain | {"reply"})):
        try:
            parsed = [
                (name, form, conversion)
                for _, name, form, conversion in Formatter().parse(raw[key] or "")
                if name is not None
            ]
        except ValueError as error:
            yield f"{key}: {error} (a brace that is no field is written twice)"
            continue
        used |= {name for name, _, _ in parsed}
        if unknown := sorted(
            {name for name, form, conversion in parsed if name not in known or form or conversion}
        ):
            yield (
                f"{key} asks for {', '.join(unknown)}; it may use"
                f" {', '.join(sorted(known)) or 'no field'}"
            )
    if "reply" not in used or any(answer not in raw["question"] for answer in ANSWERS):
        yield f"question must have the field {{reply}}, and the answers {', '.join(ANSWERS)}"
    in_rules = {
        name
        for of_kind in raw["rules"].values()
        for rule in of_kind
        for regex in rule
        for name in _FIELD.findall(regex)
    }
    if unknown := sorted(in_rules - set(scene)):
        yield (
            f"rules ask for {', '.join(unknown)}; they may use"
            f" {', '.join(sorted(scene)) or 'no field'}"
        )
    if unused := sorted(set(scene) - used - in_rules):
        yield f"the field(s) {', '.join(unused)} of the scenes stand nowhere"


def _regex_faults(scenario: BlackmailScenario) -> Iterator[str]:
    """Regexes that are none, and rules that hold for any text at all."""
    for regex in (scenario.thoughts, scenario.acts):
        try:
            re.compile(regex or "", _FLAGS)
        except re.error as error:
            yield f"{regex!r} is no regex ({error})"
    for fields in scenario.scenes:
        for kind, of_kind in scenario.rules.items():
            for rule in of_kind:
                try:
                    if all([compiled(regex, fields).search("") for regex in rule]):
                        yield f"the rule {list(rule)} of {kind} holds for an empty text"
                except re.error as error:
                    yield f"the rule {list(rule)} of {kind} is no regex ({error})"
