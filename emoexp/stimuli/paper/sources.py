"""Where the paper's lists are looked for: its page, and files laid out as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from emoexp.errors import EmoexpError
from emoexp.stimuli.paper.page import Page
from emoexp.stimuli.paper.proof import LABELS, NUMERIC, OPENINGS, SCENARIO, bare_words, numeric_item

FILES = {
    "emotions_171": "emotions_171.json",
    "topics_100": "topics_100.json",
    "activities_64": "activities_64.json",
    "scenarios_12": "implicit_scenarios_12.json",
    LABELS: "implicit_scenarios_12.json",
    NUMERIC: "numeric_templates_6.json",
    "story_prompt": "generation_prompts.json",
    "dialogue_prompt": "generation_prompts.json",
    "preference_template": "other_prompts.json",
    "feeling_template": "other_prompts.json",
    **dict.fromkeys(SCENARIO, "blackmail_summitbridge.txt"),
    **dict.fromkeys(OPENINGS, "other_prompts.json"),
}
"""The file of a folder that holds each list."""
KEYS = {
    "story_prompt": "story",
    "dialogue_prompt": "neutral_dialogue",
    "preference_template": "preference",
    "feeling_template": "activity_probe",
}


class ListSource(Protocol):
    """Where lists are looked for. `name` is what the provenance says: nothing of the user's
    machine."""

    @property
    def name(self) -> str: ...
    def candidates(self, name: str) -> list[list[str]]:
        """Item lists that might be, or hold, the list; none if the source lacks it."""
        ...

    def words(self, name: str) -> list[str]:
        """Words among which the prompt may stand."""
        ...


@dataclass(frozen=True)
class PageSource:
    page: Page
    name: str

    def candidates(self, name: str) -> list[list[str]]:
        return self.page.candidates(name)

    def words(self, name: str) -> list[str]:
        return self.page.words()


@dataclass(frozen=True)
class JsonSource:
    """Files by list; a file that is not there offers nothing.

    Raises:
        EmoexpError: a file is there but is not laid out as it should be.
    """

    files: dict[str, Path]
    name: str

    def candidates(self, name: str) -> list[list[str]]:
        def items(content: Any) -> list[str]:
            match name:
                case "activities_64":
                    return [f"{a['category']}\t{a['activity']}" for a in content["activities"]]
                case "scenarios_12":
                    return [f"{s['emotion']}\t{s['text']}" for s in content["scenarios"]]
                case n if n == LABELS:
                    return [s["label"] for s in content["scenarios"]]
                case n if n == NUMERIC:
                    return [numeric_item(t["template"], t["values"]) for t in content["templates"]]
                case _:
                    return [str(item) for item in content]

        return self._read(name, lambda content: [items(content)])

    def words(self, name: str) -> list[str]:
        if name in SCENARIO:
            return self._text(name)
        if name in OPENINGS:
            return self._read(
                name,
                lambda content: bare_words(
                    "\n".join(
                        f"{o['human']}\n{o['assistant_prefix']}"
                        for o in content["self_report_steering"]
                    )
                ),
            )
        return self._read(name, lambda content: bare_words(content[KEYS[name]]))

    def _text(self, name: str) -> list[str]:
        path = self.files.get(name)
        if path is None or not path.exists():
            return []
        try:
            return bare_words(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise EmoexpError(f"{path} cannot be read as UTF-8 text ({error})") from error

    def _read(self, name: str, get: Any) -> list[Any]:
        path = self.files.get(name)
        return list(get_content(path, get)) if path is not None and path.exists() else []


def get_content(path: Path, get: Any) -> Any:
    """`get` of a JSON file. Raises EmoexpError with the file's name if it cannot be read, or `get`
    does not find what it looks for."""
    try:
        return get(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EmoexpError(f"{path} cannot be read as JSON ({error})") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise EmoexpError(
            f"{path} is not laid out as it should be ({type(error).__name__}: {error})"
        ) from error
