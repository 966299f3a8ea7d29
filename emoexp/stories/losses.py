"""What of a corpus is not in the vectors: texts that do not count, stories that the model cannot
read, files that are not read. Pure functions of the entry `corpus` of result.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WARNING = "warning: "
REJECTED = {
    "empty": "without a word",
    "refusal": "a refusal",
    "names_emotion": "naming the emotion",
    "duplicate": "the same as another",
    "huge": "longer than a million characters",
    "beyond": "beyond the first 10,000 of an emotion by hash",
}
"""The reasons for which a text does not count, for people."""
DROPPED = {
    "short": "with 50 tokens or fewer, the ones that are skipped",
    "long": "longer than the model's positions",
    "special": "with special tokens of the model",
    "massive": "of nothing but massive activations",
}
"""The reasons for which a story or neutral text is not read by the model, for people."""
MOST_EACH = 3
"""Emotions with as many texts as each other that a line names; more are counted."""
MOST_LISTED = 20
"""Emotions or files that a line names."""
Counts = Mapping[str, Mapping[str, int]]


def loss_lines(rejected: Counts, dropped: Counts) -> list[str]:
    """Returns a line for each reason: how many texts, of which emotions."""
    lines = []
    for reasons, counts in ((REJECTED, rejected), (DROPPED, dropped)):
        for reason, by_emotion in counts.items():
            most = sorted(by_emotion, key=lambda e: (-by_emotion[e], e))
            named = ", ".join(f"{by_emotion[e]} of {e or 'neutral'}" for e in most[:MOST_LISTED])
            more = len(most) - MOST_LISTED
            rest = f" and of {more} more emotions" if more > 0 else ""
            if len(set(by_emotion.values())) == 1 and len(by_emotion) > MOST_EACH:
                named, rest = f"{by_emotion[most[0]]} of each of {len(most)} emotions", ""
            total = sum(by_emotion.values())
            lines.append(f"{total} texts left out, {reasons.get(reason, reason)}: {named}{rest}")
    return lines


def kept_share(emotion: str, corpus: Mapping[str, Any]) -> float:
    """Returns the share of an emotion's texts that its vector is of: of those that count, and of
    the stories among them that the model was to read."""
    used = corpus.get("used", {})
    counted = corpus["stories_by_emotion"].get(emotion, 0)
    read = used.get("stories_by_emotion", {}).get(emotion)
    lost, dropped = (
        sum(counts.get(emotion, 0) for counts in part.values())
        for part in (corpus["rejected"], used.get("dropped", {}))
    )
    share = counted / max(counted + lost, 1)
    return share if read is None else share * read / max(read + dropped, 1)


def loss_notes(corpus: Mapping[str, Any]) -> list[str]:
    """Returns the notes on what is left out, first a warning of emotions that keep fewer than half
    of their texts, and the neutral texts where they do."""
    used = corpus.get("used", {})
    notes = loss_lines(corpus["rejected"], used.get("dropped", {}))
    if unread := corpus.get("unread", []):
        more = f" and {len(unread) - MOST_LISTED} more" if len(unread) > MOST_LISTED else ""
        notes.append(f"not read beside the stories: {', '.join(unread[:MOST_LISTED])}{more}")
    emotions = dict.fromkeys(
        (*corpus["stories_by_emotion"], *(e for by in corpus["rejected"].values() for e in by))
    )
    shares = {e: kept_share(e, corpus) for e in emotions if e not in ("", "neutral")}
    few = sorted((e for e in shares if shares[e] < 0.5), key=lambda e: shares[e])
    if few:
        named = ", ".join(f"{e} {shares[e]:.0%}" for e in few[:MOST_LISTED])
        more = f" and {len(few) - MOST_LISTED} more" if len(few) > MOST_LISTED else ""
        notes.insert(0, f"{WARNING}fewer than half of the stories are used: {named}{more}")
    return notes
