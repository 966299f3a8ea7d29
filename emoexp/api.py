"""The public API, for notebooks: `from emoexp import load_model, fit_vectors, verify`.

The command line does the same with a store, a record and views; these functions return objects.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emoexp import config as conf
from emoexp.models.open import open_model, silence_libraries
from emoexp.models.subject import Steering, SubjectModel
from emoexp.steering.preference import Preferences
from emoexp.stimuli import Stimuli
from emoexp.stimuli import load_stimuli as _load_pack
from emoexp.stimuli.load import artifacts_root
from emoexp.stories.corpus import Corpus, pack_corpus
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.vectors import EmotionVectors

__all__ = [
    "EmotionVectors",
    "Preferences",
    "Steering",
    "Stimuli",
    "SubjectModel",
    "fit_vectors",
    "load_model",
    "load_stimuli",
    "verify",
]


def load_model(
    repo_id: str,
    *,
    format: str = "plain",
    dtype: str = "auto",
    device: str = "auto",
    quantization: str = "none",
    **settings: Any,
) -> SubjectModel:
    """Loads a causal language model and checks that its residual stream is what it should be.

    Args:
        repo_id: a hub id, a folder, or `bundled:organism`.
        format: `plain` ("Human: ... Assistant:") or `chat` (the model's own template).
        dtype: `float32`, `bfloat16`, `float16`, or `auto` for that of the checkpoint.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`.
        quantization: `none`, `int8` or `nf4`.
        settings: further fields of `emoexp.config.ModelConfig`, such as `revision`.

    Raises:
        EmoexpError: the model is missing, gated, too large, or of an unknown architecture.
    """
    silence_libraries()
    config = conf.ModelConfig(
        name=settings.pop("name", repo_id.rpartition("/")[2].removeprefix("bundled:")),
        repo_id=repo_id,
        format=conf.PromptFormat(format),
        dtype=dtype,
        device=device,
        quantization=conf.Quantization(quantization),
        **settings,
    )
    return open_model(config)


def load_stimuli(path: str = "bundled:organism") -> Stimuli:
    """Loads a pack of stimuli, checked whole.

    Args:
        path: `bundled:organism`, `bundled:emoexp`, `imported:paper`, or a folder.

    Raises:
        EmoexpError: there is no such pack, or it has faults; the message lists all of them.
    """
    return _load_pack(path)


def study_of(
    model: SubjectModel,
    stimuli: Stimuli,
    *,
    layer: int | float | str = "auto",
    emotions: Sequence[str] | None = None,
    corpus: Corpus | None = None,
    store: str | Path | None = None,
    scale: conf.ScaleConfig | None = None,
    span: str = "steered_activity",
    seed: int = 0,
) -> Study:
    """Puts model, pack and corpus together as experiments want them.

    Args:
        layer: a 0-based block, a fraction of the depth, or `auto` (two thirds).
        emotions: those under study; all of the pack by default.
        corpus: stories and neutral texts; by default those of the pack.
        store: folder for what is computed once; by default `EMOEXP_ARTIFACTS` or ~/.cache/emoexp.
        scale: how much is measured; paper-sized by default.
        span: which tokens of a preference prompt are steered (`emoexp.config.SteeringSpan`).
    """
    config = conf.Config(
        experiment=None,
        model=model.config,
        layer=layer,
        emotions=conf.EmotionsConfig(names=None if emotions is None else list(emotions)),
        stimuli=conf.StimuliConfig(path=str(stimuli.folder)),
        stories=conf.StoriesConfig(name="pack"),
        scale=scale or conf.ScaleConfig(),
        span=conf.SpanConfig(kind=conf.SteeringSpan(span)),
        artifacts=str(store or artifacts_root()),
        seed=seed,
        run_dir=tempfile.mkdtemp(prefix="emoexp-"),
    )
    stories = corpus or pack_corpus(stimuli)
    return Study.of(config, model=model, stimuli=stimuli, corpus=stories)


def fit_vectors(
    model: SubjectModel, stimuli: Stimuli, *, layer: int | float | str = "auto", **settings: Any
) -> EmotionVectors:
    """Fits the emotion vectors of one layer from stories (paper, "Extracting emotion vectors").

    Args:
        layer: a 0-based block, a fraction of the depth, or `auto` (two thirds).
        settings: of `study_of`, such as `emotions`, `corpus` and `store`.

    Returns:
        unit directions by emotion, with the layer and its mean residual norm.

    Raises:
        EmoexpError: the pack has no stories, or none of some emotion.
    """
    return study_of(model, stimuli, layer=layer, **settings).vectors


def verify(
    model: SubjectModel,
    stimuli: Stimuli,
    *,
    only: Sequence[str] | None = None,
    layer: int | float | str = "auto",
    **settings: Any,
) -> Result:
    """Measures and judges V1 to V11, or some of the validations.

    Args:
        only: names of experiments, such as `["implicit", "steering"]`; all of V1 to V11 by default.
        layer: a 0-based block, a fraction of the depth, or `auto` (two thirds).
        settings: of `study_of`, such as `emotions`, `store`, `scale` and `seed`.

    Returns:
        verdicts, metrics, tables and notes.

    Raises:
        EmoexpError: an experiment is not known, or a setting is wrong.
    """
    from emoexp.errors import EmoexpError
    from emoexp.experiments import EXPERIMENTS

    study, result = study_of(model, stimuli, layer=layer, **settings), Result()
    for name in only or ["verify"]:
        if name not in EXPERIMENTS:
            raise EmoexpError(f"unknown experiment {name!r}: choose from {', '.join(EXPERIMENTS)}")
        result.merge(EXPERIMENTS[name]().run(study))
    return result
