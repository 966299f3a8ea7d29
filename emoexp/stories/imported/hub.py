"""Story corpora on the Hugging Face hub: the files to fetch, and their authors.

Layouts looked up in public code that reads or writes these repositories (the hub itself cannot be
reached from here): `ryancodrai/emotion-probes`: expression/stories.parquet {emotion, topic, story},
expression/neutral_stories.parquet {topic, story}, deflection/neutral_dialogues.parquet {topic,
dialogue}; written by Gemini 3.1 Pro Preview. The dialogues are the neutral set of the paper's
method, whatever their folder is called; the neutral stories are not used (`stories.neutral=` can
name them). `abotresol/emotion-story-corpora`: data/single_emotion.parquet {source, emotion, text,
...}, one row a story, neutral rows under emotion "neutral"
(github.com/Antonio-Tresol/gemma4-emotion-vectors, scripts/build_story_corpora_dataset.py). It
unites corpora of several authors: `abotresol/emotion-story-corpora:deepseek-v4-pro` takes the
stories of one `source`. `dejanseo/gemotions`: data/stories.db and data/neutral.db, written by
gemini-2.0-flash-lite. It is a model repository, not a dataset, with some 35 GB beside them that
nobody needs here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoexp.errors import require
from emoexp.models.loading.hub_errors import explained
from emoexp.textfiles import PACKED

PACKABLE = ("json", "jsonl", "ndjson", "csv", "tsv")
WHOLE = ("*.txt", "*.parquet", "*.arrow", "*.db", "*.sqlite", "*.sqlite3")
TEXT_FILES = (*WHOLE, *(f"*.{kind}{packed}" for kind in PACKABLE for packed in ("", *PACKED)))


@dataclass(frozen=True)
class HubCorpus:
    """The files to fetch of a repository, and its author where its files name none."""

    files: tuple[str, ...] = TEXT_FILES
    author: str | None = None
    repo_type: str = "dataset"


KNOWN = {
    "ryancodrai/emotion-probes": HubCorpus(
        ("expression/stories.parquet", "deflection/neutral_dialogues.parquet"),
        "gemini-3.1-pro-preview",
    ),
    "abotresol/emotion-story-corpora": HubCorpus(("data/single_emotion.parquet",)),
    "dejanseo/gemotions": HubCorpus(
        ("data/stories.db", "data/neutral.db"), "gemini-2.0-flash-lite", "model"
    ),
}


def is_repo_id(path: str) -> bool:
    """Checks whether `path` has the form owner/name."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", path) is not None


def fetch(repo_id: str, revision: str | None) -> tuple[Path, str]:
    """Downloads a corpus, or finds it in the cache of huggingface_hub.

    Returns:
        its folder, and the revision: the commit where the cache has it, else what was asked for.

    Raises:
        EmoexpError: it is missing, gated, without such a revision, or cannot be reached (see
            emoexp/models/loading/hub_errors.py).
    """
    import huggingface_hub

    corpus = KNOWN.get(repo_id, HubCorpus())
    with explained(f"{repo_id} (no folder or file here, so a {corpus.repo_type} of the hub)"):
        wanted: dict[str, Any] = {"allow_patterns": list(corpus.files)}
        wanted |= {"repo_type": corpus.repo_type, "revision": revision}
        folder = Path(huggingface_hub.snapshot_download(repo_id, **wanted))
    require(
        folder.is_dir(),
        f"{repo_id} on the hub has none of the files that a corpus could be in:"
        f" {', '.join(corpus.files)}",
    )
    return folder, folder.name if re.fullmatch(r"[0-9a-f]{40}", folder.name) else revision or "main"
