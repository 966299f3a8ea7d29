"""The settings by their dotted names, read off the configuration's dataclasses: type, docstring,
and what a value may be."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from enum import Enum
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from emoexp.bounds import bounds_of
from emoexp.config import Config
from emoexp.experiments import EXPERIMENTS
from emoexp.places import CONF

COMPARED = 100
"""Characters of a name that are compared with others."""
NEAR = 0.7
"""Least similarity of a name that is suggested (difflib's ratio)."""
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
OURS = ("run_dir",)
"""Fields of Config that the command itself fills in."""


@dataclass(frozen=True)
class Setting:
    """One setting: its dotted name, type (without None), whether null is allowed, docstring, and
    the field of its dataclass."""

    name: str
    type: Any
    optional: bool
    doc: str
    field: Field[Any]

    @property
    def is_text(self) -> bool:
        return self.type is str

    @property
    def is_group(self) -> bool:
        return is_dataclass(self.type)

    @property
    def default(self) -> str:
        """Returns the default as the command line writes it."""
        field = self.field
        value = field.default
        if field.default_factory is not MISSING:
            value = field.default_factory()
        if value is MISSING or value == "???":
            return "..."
        if value is None:
            return "null"
        if isinstance(value, Enum | bool):
            return str(getattr(value, "value", value)).lower()
        return str(value).replace("'", "").replace(", ", ",")

    @property
    def allowed(self) -> str:
        """Returns what a value may be, in words."""
        what = _kind(self.type)
        if bounds := bounds_of(self.field, self.type):
            what += f", {bounds}"
        return what + (", or null" if self.optional else "")


def _kind(hint: Any) -> str:
    if get_origin(hint) is list:
        inner = get_args(hint)[0]
        example = {int: "[3,5]", float: "[0.1,0.5]"}.get(inner, "[one,two]")
        plural = {int: "whole numbers", float: "numbers", str: "texts"}.get(inner, "values")
        return f"a list of {plural}, such as {example}"
    if get_origin(hint) is dict:
        return "a mapping, such as '{name: value}' (in quotes, for the shell)"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {', '.join(choice.value for choice in hint)}"
    return KINDS.get(hint, "settings of its own")


def settings(experiments: Iterable[str]) -> dict[str, Setting]:
    """Returns every setting that runs of `experiments` have, by name."""
    found = {s.name: s for s in _settings(Config, "") if s.name not in OURS}
    for experiment in experiments:
        found |= {s.name: s for s in _settings(_configured_by(experiment), "experiment.")}
    return found


def _configured_by(option: str) -> type:
    """Returns the experiment that an option of the group `experiment` configures: the one of its
    name, or the one whose schema its file starts from."""
    if option not in EXPERIMENTS:
        text = (CONF / "experiment" / f"{option}.yaml").read_text(encoding="utf-8")
        option = text.partition("/schema/experiment/")[2].partition("@")[0]
    return EXPERIMENTS[option]


def _settings(node: type, prefix: str) -> Iterator[Setting]:
    hints, docs = get_type_hints(node), docs_of(node)
    for field in fields(node):
        hint, optional = _without_none(hints[field.name])
        name, doc = prefix + field.name, docs.get(field.name, "")
        yield Setting(name, hint, optional, doc, field)
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _settings(hint, name + ".")


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    rest = [part for part in get_args(hint) if part is not NoneType]
    return rest[0], len(rest) < len(get_args(hint))


@cache
def docs_of(node: type) -> dict[str, str]:
    """Returns the docstring of each field of a dataclass and its bases: the text below the field,
    else its entry under "Attributes:" of the class."""
    found: dict[str, str] = {}
    for cls in reversed(node.__mro__[:-1]):
        if not is_dataclass(cls):
            continue
        listed = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2]
        for names, text in re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", listed, re.MULTILINE):
            found |= {name: " ".join(text.split()) for name in names.split(", ")}
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
        for part, text in pairwise(body):
            if isinstance(part, ast.AnnAssign) and isinstance(text, ast.Expr):
                found[ast.unparse(part.target)] = " ".join(ast.literal_eval(text.value).split())
    return found


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name most like `name`, as a whole or in its last part; None if none is."""
    name = name[:COMPARED]
    last = name.rpartition(".")[2]

    def likeness(other: str) -> float:
        whole = SequenceMatcher(None, name, other).ratio()
        return max(whole, SequenceMatcher(None, last, other.rpartition(".")[2]).ratio() - 0.1)

    best = max(known, key=likeness)
    return best if likeness(best) >= NEAR else None


def described(chosen: Sequence[tuple[str, str]], width: int) -> str:
    """Returns the settings of groups, each with its default, what it may be, and what it is.

    Args:
        chosen: groups (or settings, whose group is taken) with what is chosen.
        width: of a line.
    """
    choices = dict(chosen)
    experiment = choices.get("experiment", "verify")
    known = settings([experiment])
    groups = dict.fromkeys(name.partition(".")[0] for name in choices)
    lines = []
    for group in groups:
        lines += ["", f"{group}={choices[group]}" if group in choices else f"{group}=..."]
        inside = (s for s in known.values() if s.name.startswith(f"{group}."))
        own = [s for s in inside if not s.is_group]
        for setting in own:
            lines += [f"  {setting.name}={setting.default}    {setting.allowed}"]
            lines += textwrap.wrap(
                setting.doc, width, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
        if not own:
            lines += ["  no settings of its own"]
    more = "Every setting with its value: the same command with --cfg job. All groups: --help alone"
    return "\n".join([*lines[1:], "", more, ""])
