"""A small corpus to generate: a pack with topics and templates, and contexts that want it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from emoexp.config import (
    Config,
    EmotionsConfig,
    ModelConfig,
    StimuliConfig,
    StoriesConfig,
    StoriesSource,
)
from emoexp.stimuli import BUNDLED
from emoexp.stories.units import plan_of
from emoexp.study.study import Study

NAMES = ["happy", "sad", "calm", "at ease"]
N_TOPICS = 60
Make = Callable[..., Study]


def write_pack(pack: Path) -> Path:
    """The organism's pack with topics and templates, which its own files do not have."""
    shutil.copytree(BUNDLED / "organism", pack)
    change_templates(
        pack,
        story="n={n}; topic={topic}; emotion={emotion}\nBefore each:\n<STORY>",
        dialogue="n={n}; topic={topic}\nBefore each:\n\n<DIALOGUE>\n",
    )
    (pack / "topics.txt").write_text("".join(f"topic number {i}\n" for i in range(N_TOPICS)))
    return pack


def change_templates(pack: Path, **templates: str | None) -> None:
    """Sets templates; None takes one away."""
    head = json.loads((pack / "pack.json").read_text())
    head["templates"] = {
        name: text for name, text in (head["templates"] | templates).items() if text is not None
    }
    (pack / "pack.json").write_text(json.dumps(head))


def context_in(folder: Path, url: str | None, names: list[str] | None, **changes: object) -> Study:
    """4 emotions x 3 topics x 5 stories and 2 dialogues, unless changed; the pack is at
    `folder`/pack."""
    settings: dict[str, object] = {
        "name": "screen",
        "source": StoriesSource.generated,
        "topics": 3,
        "per_topic": 5,
        "dialogues_per_topic": 2,
    }
    if url is not None:
        settings |= {"server": url, "server_model": "scribe", "concurrency": 4, "timeout_s": 10.0}
    return Study(
        Config(
            experiment=None,
            model=ModelConfig(name="tiny", repo_id="tiny"),
            emotions=EmotionsConfig(names=names),
            run_dir=str(folder),
            stimuli=StimuliConfig(path=str(folder / "pack")),
            stories=StoriesConfig(**(settings | changes)),
            artifacts=str(folder / "artifacts"),  # type: ignore[arg-type]
        )
    )


def files(study: Study) -> dict[str, str]:
    """What lies in the corpus' folder, temporary files and locks included."""
    folder = plan_of(study).folder
    return {
        str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()
    }
