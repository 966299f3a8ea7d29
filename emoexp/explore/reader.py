"""Reads texts for one study: the vectors of all layers are fitted once, and each text is read
once."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from emoexp.errors import EmoexpError, require
from emoexp.explore.reading import PARTS, Cosines, Part, Reading, Tokens, bands_of, cosines_of
from emoexp.explore.texts import TEXT, prompt_of
from emoexp.models.prompts import Encoding, Prompt, token_mask
from emoexp.stats.own_probe import CENTRED, RAW
from emoexp.stimuli import NumericTemplate
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.pooling import massive_tokens
from emoexp.vectors.probes import assistant_residuals
from emoexp.vectors.trends import curves
from emoexp.vectors.vectors import EmotionVectors

KEPT = 16
"""Texts whose readings stay in memory."""


class Reader:
    """Reads texts at all layers of a study's model.

    Attributes:
        study: model, pack, corpus and seed; its own layer is the one that a page shows first.
        forwards: texts that the model has read so far, the reference's included.
    """

    def __init__(self, study: Study) -> None:
        require(
            study.config.vectors is None,
            f"vectors={study.config.vectors} is of one layer, and the explorer reads all layers:"
            " leave it out",
        )
        self.study = study
        self.forwards = 0
        self._kept = OrderedDict[tuple[str, bool], Reading]()

    @cached_property
    def vectors(self) -> list[EmotionVectors]:
        """The emotion vectors of each layer, as `fit_vectors` gives them."""
        return [self.study.vectors_at(layer) for layer in range(self.study.model.n_layers)]

    @cached_property
    def random(self) -> list[np.ndarray]:
        """Isotropic directions of each layer; (draw, d_model)."""
        draws, width = self.study.config.scale.null_draws, self.study.model.d_model
        layers = range(self.study.model.n_layers)
        return [isotropic_directions(draws, width, self.study.control_rng(k)) for k in layers]

    @cached_property
    def reference(self) -> tuple[dict[Part, np.ndarray], dict[Part, np.ndarray]]:
        """What centring subtracts: means over the pack's scenarios, read as users' turns, of the
        emotion vectors and of the isotropic directions; by part, (layer, direction).

        Raises:
            EmoexpError: the pack has no scenarios.
        """
        texts = [scenario.text for scenario in self.study.stimuli.scenarios]
        if not texts:
            raise EmoexpError(
                f"the pack {self.study.stimuli.name!r} has no scenarios to centre cosines over"
            )
        read = [self._project(prompt_of(self.study.model, text, True))[1:] for text in texts]
        emotions, random = (
            {part: np.mean([c[k].parts[part] for c in read], axis=0) for part in PARTS}
            for k in range(2)
        )
        return emotions, random

    def read(self, text: str, as_turn: bool = True) -> Reading:
        """Reads a text, or returns its reading from memory.

        Args:
            as_turn: as a user's turn up to the assistant's first token; else the text alone.

        Raises:
            EmoexpError: the text cannot be read (see `prompt_of`), or no token of it counts.
        """
        key = (text, as_turn)
        if key not in self._kept:
            self._kept[key] = self._read(text, as_turn)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def recall(self, text: str, as_turn: bool = True) -> Reading | None:
        """Returns the reading of a text that is still in memory; None if it is not."""
        return self._kept.get((text, as_turn))

    def numeric(self, template: NumericTemplate, layer: int, probes: list[str]) -> pd.DataFrame:
        """Returns the cosine of each probe at each value of a numeric template, as V5 reads them;
        columns template, value and the probes."""
        texts = {template.key: [template.template.format(X=x) for x in template.values]}
        residuals = assistant_residuals(self.study.model, self.study.artifacts, texts, layer)
        directions = self.vectors[layer].only(tuple(probes))
        return curves(residuals, directions, [template], probes)

    def _read(self, text: str, as_turn: bool) -> Reading:
        prompt = prompt_of(self.study.model, text, as_turn)
        reference, random_reference = (_for(as_turn, means) for means in self.reference)
        tokens, emotions, random = self._project(prompt)
        bands: dict[str, list[np.ndarray]] = {RAW: [], CENTRED: []}
        layers = zip(random.tokens, tokens.counted, random_reference["text"], strict=True)
        for cosines, counted, mean in layers:
            bands[RAW].append(bands_of(cosines[counted]))
            bands[CENTRED].append(bands_of(cosines[counted] - mean))
        return Reading(
            text=text,
            as_turn=as_turn,
            emotions=self.study.emotions,
            tokens=tokens,
            cosines=emotions,
            random_parts=random.parts,
            bands={name: np.stack(by_layer) for name, by_layer in bands.items()},
            reference=reference,
            random_reference=random_reference,
        )

    def _project(self, prompt: Prompt) -> tuple[Tokens, Cosines, Cosines]:
        """Runs the model on a prompt, and projects all layers on emotions and random directions."""
        model = self.study.model
        self.forwards += 1
        encoding = model.encode([prompt])
        layers = range(model.n_layers)
        by_layer = model.each_residual(encoding, layers, lambda residual: residual[0].cpu())
        residuals = [residual.numpy() for residual in by_layer]
        tokens = _tokens(model.tokenizer, prompt, encoding, residuals)
        if not tokens.counted.any(1).all():
            raise EmoexpError(
                "no token of the text counts, since a sequence's first token and massive ones are"
                " left out: type a longer text"
            )
        directions = [vectors.directions for vectors in self.vectors]
        emotions = cosines_of(residuals, directions, tokens.counted)
        return tokens, emotions, cosines_of(residuals, self.random, tokens.counted)


def _for(as_turn: bool, means: dict[Part, np.ndarray]) -> dict[Part, np.ndarray]:
    """Returns what is subtracted by part; a text alone ends in a token of its own."""
    return means if as_turn else {"text": means["text"], "turn": means["text"]}


def _tokens(
    tokenizer: object, prompt: Prompt, encoding: Encoding, residuals: list[np.ndarray]
) -> Tokens:
    """Returns the tokens of one prompt with their marks."""
    normal = (encoding.is_text & (encoding.positions > 0))[0].numpy()
    norms = torch.stack([torch.as_tensor(h).double().norm(dim=-1) for h in residuals])
    massive = massive_tokens(norms, torch.as_tensor(normal).expand(norms.shape)).numpy()
    marks = zip(encoding.ids[0].tolist(), encoding.starts[0], encoding.ends[0], strict=True)
    shown, before = list[str](), (-1, -1)
    for token, start, end in marks:
        place = (int(start), int(end))
        if end <= start:
            shown.append(str(tokenizer.convert_ids_to_tokens(token)))  # type: ignore[attr-defined]
        else:  # one character may be several tokens, as an emoji is
            shown.append(CONTINUED if place == before else prompt.text[place[0] : place[1]])
        before = place
    in_text = token_mask([prompt], [TEXT], encoding)[0].numpy()
    return Tokens(tuple(shown), in_text, ~normal, massive)


CONTINUED = "\N{MIDDLE DOT}"
"""Shown for a token that continues the character of the one before it."""
