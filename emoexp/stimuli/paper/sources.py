"""The paper's lists and prompts in JSON files, which are a source beside its page (page.py)."""

from __future__ import annotations

from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError
from emoexp.stimuli.paper.page import Page
from emoexp.stimuli.paper.proof import LABELS, NUMERIC, OPENINGS, SCENARIO, bare_words, numeric_item
from emoexp.textfiles import kind_of, parse_json, read_text

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
"""The file, within the user's folder, of each list and prompt."""
KEYS = {
    "story_prompt": "story",
    "dialogue_prompt": "neutral_dialogue",
    "preference_template": "preference",
    "feeling_template": "activity_probe",
}
"""The key, in its JSON file, of each prompt."""


@dataclass(frozen=True)
class JsonSource:
    """Files as a source; a file that is missing has no candidates.

    Its methods raise an EmoexpError where a file is there but does not have its layout.

    Attributes:
        files: by the name of the list or prompt.
        name: for the provenance; it has no path of the user's machine.
    """

    files: dict[str, Path]
    name: str

    def candidates(self, name: str) -> list[list[str]]:
        """Returns the list `name` in its file, as the only candidate."""

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
        """Returns the words of the file of the prompt `name`, or of the prompt's entry there."""
        if name in SCENARIO:
            return self._text(name)
        if name in OPENINGS:
            return self._read(name, _opening_words)
        return self._read(name, lambda content: bare_words(content[KEYS[name]]))

    def _text(self, name: str) -> list[str]:
        """Returns the words of a text file; none where it is missing."""
        path = self.files.get(name)
        if path is None or kind_of(path) is None:
            return []
        return bare_words(read_text(path))

    def _read(self, name: str, get: Any) -> list[Any]:
        """Returns what `get` finds in a JSON file; nothing where it is missing."""
        path = self.files.get(name)
        return list(get_content(path, get)) if path is not None and kind_of(path) else []


def _opening_words(content: Any) -> list[str]:
    """Returns the words of the openings in the content of other_prompts.json."""
    openings = content["self_report_steering"]
    return bare_words("\n".join(f"{o['human']}\n{o['assistant_prefix']}" for o in openings))


def get_content(path: Path, get: Any) -> Any:
    """Reads a JSON file and returns what the function `get` finds in its content.

    Raises:
        EmoexpError: the file cannot be read, or `get` does not find what it looks for; with the
            file's name.
    """
    try:
        return get(parse_json(read_text(path)))
    except JSONDecodeError as error:
        raise EmoexpError(f"{path} cannot be read as JSON ({error})") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise EmoexpError(
            f"{path} is not laid out as it should be ({type(error).__name__}: {error})"
        ) from error


ListSource = Page | JsonSource
"""What lists and prompts are looked for in."""
