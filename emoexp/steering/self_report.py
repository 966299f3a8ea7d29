"""Self-report prompts ("I feel ...", "He feels ..."), and the words' probabilities after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from emoexp.config import ReplySpan
from emoexp.models.prompts import Prompt, ask
from emoexp.models.subject import SubjectModel
from emoexp.stats.labels import UNSTEERED
from emoexp.stats.self_report import OTHER, SELF
from emoexp.steering.continuations import NextWords
from emoexp.stimuli import SelfReportOpenings, Stimuli
from emoexp.store.artifacts import Artifacts, Row, array_key


def required_openings(stimuli: Stimuli) -> SelfReportOpenings:
    """Returns the pack's self-report openings. Raises EmoexpError if it has none."""
    if stimuli.self_report is None:
        raise stimuli.lacking("self_report")
    return stimuli.self_report


def prompts_of(stimuli: Stimuli, model: SubjectModel) -> tuple[list[str], list[Prompt]]:
    """Returns whom each opening asks about (SELF, OTHER), and its prompt up to the feeling."""
    report = required_openings(stimuli)
    asked = [(SELF, report.self), *((OTHER, opening) for opening in report.other)]
    prompts = [
        ask(Prompt(str(o.question)), model.config.format, model.tokenizer, o.answer)
        for _, o in asked
    ]
    return [who for who, _ in asked], prompts


def word_log_probs(
    model: SubjectModel,
    stimuli: Stimuli,
    artifacts: Artifacts,
    layer: int,
    span: ReplySpan,
    words: Sequence[str],
    sets: Mapping[str, np.ndarray],
    names: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """Measures the log-probability (nats) of each word, unsteered and steered with each direction.

    One artifact row for each direction: a killed run resumes where it stopped.

    Args:
        sets: what is added, by the label of its set; (direction, d_model).
        names: of the directions.

    Returns:
        columns set, direction, asked (SELF, OTHER) and one for each word. Of several openings
        about others the log-probabilities are averaged.
    """
    added = torch.as_tensor(np.concatenate(list(sets.values())), dtype=torch.float32)
    labels = [name for group in names.values() for name in group]
    whose, prompts = prompts_of(stimuli, model)
    readers = [NextWords(model, prompt, words, span) for prompt in prompts]

    def row(label: str) -> Row:
        vector = None if label == UNSTEERED else added[labels.index(label)]
        return {"log_probs": np.stack([reader.log_probs(layer, vector) for reader in readers])}

    identity = {
        "model": model.identity,
        "format": model.format_identity,
        "pack": stimuli.sha256,
        "words": list(words),
        "layer": layer,
        "steered": span.value,
        "vectors": array_key(added.numpy()),
    }
    title = f"self-report, steered with {len(labels)} directions"
    rows = artifacts.rows("self_report", identity, [UNSTEERED, *labels], row, title)
    found = np.stack([r["log_probs"] for r in rows])
    groups = [UNSTEERED, *(label for label, group in names.items() for _ in group)]
    parts = []
    for who in (SELF, OTHER):
        mean = found[:, [i for i, w in enumerate(whose) if w == who]].mean(1)
        table = pd.DataFrame(mean, columns=list(words))
        parts.append(table.assign(set=groups, direction=[UNSTEERED, *labels], asked=who))
    return pd.concat(parts, ignore_index=True)[["set", "direction", "asked", *words]]
