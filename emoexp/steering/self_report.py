"""Self-report prompts ("I feel ...", "He feels ..."), and the words' probabilities after them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from emoexp.config import ReplySpan
from emoexp.models.prompts import Prompt, prompts_key
from emoexp.models.subject import SubjectModel
from emoexp.stats.labels import UNSTEERED
from emoexp.stats.self_report import OTHER, SELF
from emoexp.steering.continuations import NextWords
from emoexp.steering.sets import DirectionSets
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
    prompts = [model.ask(Prompt(str(o.question)), o.answer) for _, o in asked]
    return [who for who, _ in asked], prompts


def word_log_probs(
    model: SubjectModel,
    stimuli: Stimuli,
    artifacts: Artifacts,
    layer: int,
    span: ReplySpan,
    words: Sequence[str],
    sets: DirectionSets,
    added: np.ndarray,
) -> pd.DataFrame:
    """Measures the log-probability (nats) of each word, unsteered and steered with each direction.

    One artifact row for each direction: a killed run resumes where it stopped.

    Args:
        added: what is added for each direction of `sets`; (direction, d_model).

    Returns:
        columns set, direction, asked (SELF, OTHER) and one for each word. Of several openings
        about others the log-probabilities are averaged.
    """
    vectors = torch.as_tensor(added, dtype=torch.float32)
    whose, prompts = prompts_of(stimuli, model)
    readers = [NextWords(model, prompt, words, span) for prompt in prompts]

    def row(label: str) -> Row:
        vector = None if label == UNSTEERED else vectors[sets.names.index(label)]
        return {"log_probs": np.stack([reader.log_probs(layer, vector) for reader in readers])}

    asked = {"prompts": prompts_key(prompts), "words": list(words)}
    place = {"layer": layer, "steered": span.value, "vectors": array_key(vectors.numpy())}
    identity = {"model": model.identity, **asked, **place}
    title = f"self-report, steered with {len(sets.names)} directions"
    rows = artifacts.rows("self_report", identity, [UNSTEERED, *sets.names], row, title)
    log_probs = np.stack([r["log_probs"] for r in rows])
    labels = {"set": [UNSTEERED, *sets.sets], "direction": [UNSTEERED, *sets.names]}
    parts = []
    for who in (SELF, OTHER):
        values = log_probs[:, [w == who for w in whose]].mean(1)
        parts.append(pd.DataFrame(values, columns=list(words)).assign(**labels, asked=who))
    return pd.concat(parts, ignore_index=True)[["set", "direction", "asked", *words]]
