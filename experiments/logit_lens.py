"""V1, V2: what the vectors say through the unembedding (paper, Table 1).

Each vector goes through the final norm's gain and the unembedding. V1 counts the emotions whose own
word is among the 20 tokens that their vector promotes most. V2 counts the pairs of opposite
emotions whose promoted tokens oppose each other: the dot product of their centred logits is below
0. The nulls of both are isotropic directions, and vectors of shuffled labels, in place of the
vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from emoexp.bounds import number
from emoexp.errors import require
from emoexp.models.prompts import word_ids
from emoexp.stats.criteria import LENS_TOP, Measurement
from emoexp.stats.intervals import central, wilson
from emoexp.stats.labels import ISOTROPIC, SHUFFLED
from emoexp.study.experiment import Bootstrap, Tables, Validation, values_of
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.vectors.controls import isotropic_directions
from emoexp.vectors.lens import (
    centre,
    extreme_tokens,
    opposition,
    own_words,
    shuffled_lens,
    within_top,
)


@dataclass(kw_only=True)
class LogitLens(Validation):
    """V1 and V2.

    Attributes:
        top: how many promoted tokens count; another number than V1's is another measurement.
    """

    top: int = number(LENS_TOP, why=f"V1's is {LENS_TOP}")

    def measure(self, study: Study) -> Tables:
        model, vectors, scale = study.model, study.vectors, study.config.scale
        lens = model.unembed(vectors.directions)
        require(
            self.top < lens.shape[1],
            f"experiment.top={self.top}: the vocabulary has {lens.shape[1]} tokens, so every word"
            f" would count; V1's is {LENS_TOP}",
        )
        rng = study.control_rng()
        noise = model.unembed(isotropic_directions(scale.null_draws, model.d_model, rng))
        own = {e: word_ids(model.tokenizer, e) for e in vectors.names}
        tables = {
            "logit_lens": own_words(lens, own).join(extreme_tokens(lens, model.tokenizer)),
            "logit_lens_null": pd.DataFrame(
                within_top(noise, list(own.values()), self.top).astype(int), columns=list(own)
            ),
        }
        known = set(vectors.names)
        pairs = [pair for pair in study.stimuli.opposite_pairs if known.issuperset(pair)]
        dots = {
            name: opposition(rows, pairs, vectors.names)
            for name, rows in (("raw", lens), ("centred", centre(lens)))
        }
        first, second = [a for a, _ in pairs], [b for _, b in pairs]
        tables["opposite_pairs"] = pd.DataFrame({"first": first, "second": second, **dots})
        flat = centre(noise)
        drawn = rng.integers(0, len(flat), (scale.permutations, 2)) if len(pairs) >= 2 else ()
        dots_of_noise = [float(flat[a] @ flat[b]) for a, b in drawn if a != b]
        tables["opposite_pairs_null"] = pd.DataFrame({"centred": dots_of_noise})
        if study.shuffled is not None:
            shuffled = (study.shuffled, own, pairs, self.top, lens.shape[1])
            found = shuffled_lens(model.unembed, *shuffled)
            tables["logit_lens_shuffled"], tables["opposite_pairs_shuffled"] = found
        return tables

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        rng, words = bootstrap.rng(), tables["logit_lens"]
        ranks, single = words["rank_of_own_word"].to_numpy(), words["single_token"].to_numpy(bool)
        n, hits = len(words), int((ranks < self.top).sum())
        noise = values_of(tables["logit_lens_null"])
        drawn = rng.integers(0, len(noise), (bootstrap.permutations, n))
        median = np.median(ranks[single] if any(single) else ranks)
        result = Result(metrics={"V1_single_token_words": float(single.sum())})
        result.metrics["V1_median_rank_of_own_word"] = float(median)
        nulls = {ISOTROPIC: central(noise[drawn, np.arange(n)].sum(1))}
        if "logit_lens_shuffled" in tables:
            nulls[SHUFFLED] = central(values_of(tables["logit_lens_shuffled"]).sum(1))
        v1 = Measurement("V1", hits, n, wilson(hits, n), nulls)
        other = f"own word in top {self.top} of the lens" if self.top != LENS_TOP else ""
        result.judge(v1, other)
        pairs = tables["opposite_pairs"]
        if len(pairs) < 2:
            result.notes.append(
                "not measured: V2, which needs at least 2 of the pack's opposite pairs;"
                f" emotions.names leaves {len(pairs)}"
            )
            return result
        raw, centred = (int((pairs[name] < 0).sum()) for name in ("raw", "centred"))
        chance = tables["opposite_pairs_null"]["centred"].to_numpy() < 0
        opposed = rng.choice(chance, (bootstrap.permutations, len(pairs))).sum(1)
        nulls = {ISOTROPIC: central(opposed)}
        if "opposite_pairs_shuffled" in tables:
            nulls[SHUFFLED] = central((values_of(tables["opposite_pairs_shuffled"]) < 0).sum(1))
        result.judge(Measurement("V2", centred, len(pairs), wilson(centred, len(pairs)), nulls))
        result.metrics |= {"V2_raw": float(raw), "V2_centred": float(centred)}
        return result
