"""Story corpora on the Hugging Face hub: which files to fetch, and what went wrong in one line.

Layouts looked up in public code that reads or writes these repositories (the hub itself cannot be reached from here):
`ryancodrai/emotion-probes`: expression/stories.parquet {emotion, topic, story}, expression/neutral_stories.parquet {topic, story},
    deflection/neutral_dialogues.parquet {topic, dialogue}; written by Gemini 3.1 Pro Preview. The dialogues are the neutral set of
    the paper's method, whatever their folder is called; the neutral stories are not used (`stories.neutral=` can name them).
`abotresol/emotion-story-corpora`: data/single_emotion.parquet {source, emotion, text, ...}, one row a story, neutral rows under
    emotion "neutral" (github.com/Antonio-Tresol/gemma4-emotion-vectors, scripts/build_story_corpora_dataset.py). It unites corpora of
    several authors: `abotresol/emotion-story-corpora:deepseek-v4-pro` takes the stories of one `source`.
`dejanseo/gemotions`: data/stories.db and data/neutral.db, written by gemini-2.0-flash-lite. It is a model repository, not a
    dataset, with some 35 GB beside them that nobody needs here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from emoexp.errors import EmoexpError

TEXT_FILES = ("*.txt", "*.json", "*.jsonl", "*.csv", "*.tsv", "*.parquet", "*.db", "*.sqlite", "*.sqlite3")


@dataclass(frozen=True)
class HubCorpus:
    """What to fetch of a repository, and who wrote it where its files do not say."""

    files: tuple[str, ...] = TEXT_FILES
    author: str | None = None
    repo_type: str = "dataset"

    def url(self, repo_id: str) -> str:
        return "https://huggingface.co/" + ("datasets/" if self.repo_type == "dataset" else "") + repo_id


KNOWN = {
    "ryancodrai/emotion-probes": HubCorpus(("expression/stories.parquet", "deflection/neutral_dialogues.parquet"), "gemini-3.1-pro-preview"),
    "abotresol/emotion-story-corpora": HubCorpus(("data/single_emotion.parquet",)),
    "dejanseo/gemotions": HubCorpus(("data/stories.db", "data/neutral.db"), "gemini-2.0-flash-lite", "model"),
}


def is_repo_id(path: str) -> bool:
    """Whether `path` has the form owner/name."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", path) is not None


def fetch(repo_id: str, revision: str | None) -> tuple[Path, str]:
    """Downloads a corpus, or finds it in the cache of huggingface_hub.

    Returns:
        its folder, and the revision: the commit where the cache tells, else what was asked for.

    Raises:
        EmoexpError: it is missing, gated, without such a revision, or cannot be reached; the token is never in the message.
    """
    import huggingface_hub
    from huggingface_hub import errors

    corpus = KNOWN.get(repo_id, HubCorpus())
    try:
        folder = Path(huggingface_hub.snapshot_download(repo_id, repo_type=corpus.repo_type, revision=revision, allow_patterns=list(corpus.files)))
    except (OSError, ValueError, errors.HTTPError) as error:
        raise EmoexpError(_reason(error, repo_id, revision, corpus)) from error
    if not folder.is_dir():
        raise EmoexpError(f"{corpus.url(repo_id)} has none of the files that a corpus could be in: {', '.join(corpus.files)}")
    return folder, folder.name if re.fullmatch(r"[0-9a-f]{40}", folder.name) else revision or "main"


def _reason(error: Exception, repo_id: str, revision: str | None, corpus: HubCorpus) -> str:
    """Order matters: a gated repository's error is also a missing one's, and both are HTTP errors."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return f"{repo_id} is gated: accept its terms at {corpus.url(repo_id)}, then log in (hf auth login) or set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo_id} has no revision {revision!r}: see {corpus.url(repo_id)}/commits/main, or leave stories.revision=null for the newest"
    if status == 401:
        return f"the hub refused {repo_id} (401): it does not exist, is private, or the token is wrong (hf auth login, or HF_TOKEN)"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{repo_id} is neither a folder here nor a {corpus.repo_type} on the hub: check stories.path, and HF_TOKEN if it is private"
    if isinstance(error, errors.HFValidationError):
        return f"stories.path={repo_id} is not the id of a dataset: owner/name"
    if status is not None:
        return f"the hub answered {status} for {repo_id}: try again later, or download it and give its folder as stories.path"
    return (
        f"{repo_id} is not a folder here, not in the cache, and the hub cannot be reached ({type(error).__name__}): connect (HF_HUB_OFFLINE "
        "must not be set), or download it elsewhere and give its folder as stories.path"
    )
