"""Which emotions do texts activate? Any text projected on the emotion vectors, the emotions ranked
(paper, Fig. 1), and the rankings of several sets of texts compared.

No criterion of the paper. What is projected is called texts here; a corpus is what the vectors are
computed from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emoexp.bounds import number
from emoexp.errors import NO_REGEX, EmoexpError, require
from emoexp.stats.texts import agreement, ranking, sets_of
from emoexp.study.experiment import Bootstrap, Tables, Validation
from emoexp.study.result import Result
from emoexp.study.study import Study
from emoexp.texts.hub import open_sets
from emoexp.texts.measure import counts_table, groups_table, measure_sets, nulls_table
from emoexp.texts.passages import LEAST_TOKENS, Cutter
from emoexp.texts.projection import Projector
from emoexp.texts.sources import Options
from emoexp.texts.top import passage_rows, write_passages

CAUTION = (
    "raw projections rank the emotions by where the mean of the texts lies, most of which all texts"
    " share: read the centred ones (minus the neutral texts'), and of several sets the contrast "
    "(minus the sets' mean); a rank correlation says something where it is beyond every null"
)


@dataclass(kw_only=True)
class TextProjection(Validation):
    """Texts projected on the vectors.

    Attributes:
        texts: sets: files or folders (text, JSONL, parquet), hf:<owner>/<name>, or presets.
        documents: of each set that are read; null: all (not of a data set of the hub).
        sample: `first` takes the set's first documents; `random` draws them with `seed` (of a
            local set from all of it; of the hub among 10,000 at a time).
        tokens: of a passage.
        passages: of a document that are read, its first ones; null: all.
        top: passages that are kept for each emotion.
        column: of the texts in a table; null: text, content, document, body, conversation or
            messages.
        separator: a line of a text file that matches it ends a document; null: a file is one.
        split: of a data set of the hub.
    """

    texts: list[str] = field(default_factory=list)
    documents: int | None = number(1000, 2)
    sample: str = "first"
    tokens: int = number(256, LEAST_TOKENS)
    passages: int | None = 8
    top: int = number(10, most=1000)
    column: str | None = None
    separator: str | None = None
    split: str = "train"

    def __post_init__(self) -> None:
        super().__post_init__()
        sampled = self.sample in ("first", "random")
        require(sampled, f"experiment.sample={self.sample}: choose first or random")
        try:
            re.compile(self.separator or "")
        except NO_REGEX as error:
            what = f"experiment.separator={self.separator} is not a pattern ({error})"
            raise EmoexpError(what) from error

    def measure(self, study: Study) -> Tables:
        seed, options = study.config.seed, Options(self.column, self.separator, self.split)
        random = seed if self.sample == "random" else None
        sets = open_sets(self.texts, options, self.documents, random)
        vectors, emotions, neutral = study.vectors, study.vectors.names, study.corpus.neutral
        unit, directions = vectors.residual_norm, vectors.directions
        cutter = Cutter(study.model.tokenizer, self.tokens, self.passages)
        projector = Projector(study.model, study.layer, directions, cutter, study.artifacts)
        measured = measure_sets(projector, sets, neutral, self.documents, self.top, seed)
        rows = [
            {"set": m.texts.name, **row}
            for m in measured[:-1]
            for row in passage_rows(m.highest, projector, emotions, unit)
        ]
        write_passages(rows, Path(study.config.run_dir))
        nulls = study.null_directions(emotions)
        return {
            "texts": counts_table(measured),
            "text_groups": groups_table(measured, "projection", emotions, unit),
            "text_groups_cosine": groups_table(measured, "cosine", emotions, 1.0),
            "text_nulls": nulls_table(measured, nulls, emotions, unit),
        }

    def judge(self, tables: Tables, bootstrap: Bootstrap) -> Result:
        groups, cosines = tables["text_groups"], tables["text_groups_cosine"]
        nulls, draws, seed = tables["text_nulls"], bootstrap.draws, bootstrap.seed
        found, metrics = {"ranking": ranking(groups, cosines, nulls, draws, seed)}, {}
        if (n_sets := len(sets_of(groups))) > 1:
            pairs = agreement(groups, cosines, nulls, draws, bootstrap.permutations, seed)
            found["agreement"] = pairs
            if n_sets == 2:
                named = zip(pairs["column"], pairs["rho"], strict=True)
                metrics = {f"rank_correlation_{column}": float(rho) for column, rho in named}
        return Result(metrics=metrics, tables=found, notes=[CAUTION])

    def remarks(self, study: Study, result: Result) -> Sequence[str]:
        read = "the first" if self.sample == "first" else "drawn at random"
        most = "all" if self.documents is None else f"at most {self.documents}"
        return [f"documents of a set: {most}, {read}; passages of at most {self.tokens} tokens"]
