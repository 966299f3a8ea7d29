"""Texts projected on the vectors: planted emotions rank high, what is left out is counted, a killed
run resumes with the same numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emoexp.errors import EmoexpError
from emoexp.models.prompts import Prompt, Tokens
from emoexp.models.subject import SubjectModel
from emoexp.store.artifacts import Artifacts
from emoexp.store.record import RunRecord, RunStatus, SavedRun
from emoexp.stories.corpus import Corpus
from emoexp.study.study import Study
from emoexp.texts import projection
from emoexp.texts.hub import open_texts
from emoexp.texts.measure import groups_table, measure_set
from emoexp.texts.passages import Counts, Cutter
from emoexp.texts.projection import Projector, Sums
from emoexp.texts.sources import Options, TextSet
from emoexp.texts.top import passage_rows
from emoexp.vectors.controls import isotropic_directions
from emoexp.views.passages import write_passages_page
from tests.helpers.sink import sink_organism
from tests.helpers.studies import composed

LAYER = 3
NAMES = ("happy", "sad", "afraid", "calm")
HOSTILE = "<script>alert(1)</script> & <b onclick='x'>"


def projector_of(model: SubjectModel, store: Path, tokens: int = 32, per: int | None = None) -> Any:
    directions = isotropic_directions(4, model.d_model, np.random.default_rng(0))
    cutter = Cutter(model.tokenizer, tokens, per)
    return Projector(model, LAYER, directions, cutter, Artifacts(store))


def set_of(texts: list[str], name: str = "texts") -> TextSet:
    return TextSet(name, name, lambda: ((f"text {i}", [t]) for i, t in enumerate(texts)))


@pytest.fixture
def stories(corpus: Corpus) -> list[str]:
    return [story.text for story in corpus.by_emotion["happy"][:12]]


def test_a_projection_is_the_mean_over_the_tokens_that_count(
    tiny: SubjectModel, stories: list[str], tmp_path: Path
) -> None:
    projector = projector_of(tiny, tmp_path, tokens=400)
    counts, sums = Counts(), Sums.empty(projector.directions)
    [batch] = projector.batches(set_of(stories[:3]), None, counts, sums)
    h = tiny.residuals(tiny.encode([Prompt(stories[1])]), [LAYER])[0, 0].double().numpy()
    norms = np.linalg.norm(h, axis=1)
    assert norms[1:].max() < 10 * np.median(norms[1:])
    used, unit = h[1:], h[1:] / norms[1:, None]
    np.testing.assert_allclose(
        batch.projection[1], (used @ projector.directions.T).mean(0), atol=1e-4
    )
    np.testing.assert_allclose(batch.cosine[1], (unit @ projector.directions.T).mean(0), atol=1e-5)
    lengths = [tiny.encode([Prompt(text)]).ids.shape[1] for text in stories[:3]]
    assert (counts.tokens, counts.first, counts.massive) == (sum(lengths) - 3, 3, 0)
    np.testing.assert_allclose(
        sums.residual @ projector.directions.T, batch.projection.sum(0), rtol=1e-4
    )


def test_passages_cover_a_document_and_short_ends_are_counted(
    tiny: SubjectModel, stories: list[str]
) -> None:
    whole = " ".join(stories[:3])
    counts = Counts()
    found = list(Cutter(tiny.tokenizer, 50, None).passages(set_of([whole, "short"]), None, counts))
    ids = tiny.tokenizer(whole, add_special_tokens=False)["input_ids"]
    own = [
        i
        for p in found
        for i in p.tokens.ids[len(p.tokens.ids) - sum(a >= 0 for a, _ in p.tokens.offsets) :]
    ]
    assert own == ids[: len(own)] and len(ids) - len(own) < 16
    assert counts.short == len(ids) - len(own) + len(
        tiny.tokenizer("short", add_special_tokens=False)["input_ids"]
    )
    assert (counts.documents, counts.documents_short) == (2, 1)
    for passage in found:
        tokens = [passage.text[a:b] for a, b in passage.tokens.offsets if a >= 0]
        assert "".join(tokens) == passage.text and passage.text in whole
    first = list(Cutter(tiny.tokenizer, 50, 2).passages(set_of([whole]), None, Counts()))
    assert [p.text for p in first] == [p.text for p in found[:2]]


def test_special_tokens_in_a_text_are_left_out_and_counted(
    tiny: SubjectModel, stories: list[str], tmp_path: Path
) -> None:
    end = tiny.tokenizer.eos_token
    counts = Counts()
    projector = projector_of(tiny, tmp_path, tokens=400)
    list(
        projector.batches(
            set_of([f"{stories[0]} {end}{end} {stories[1]}"]),
            None,
            counts,
            Sums.empty(projector.directions),
        )
    )
    assert counts.special == 2


def test_massive_tokens_are_left_out_and_counted(stories: list[str], tmp_path: Path) -> None:
    sink = sink_organism()
    projector = projector_of(sink, tmp_path, tokens=400)
    projector.directions[:] = np.eye(sink.d_model)[-1]
    counts = Counts()
    [batch] = projector.batches(set_of(stories), None, counts, Sums.empty(projector.directions))
    assert counts.massive == sum(text.count(".") for text in stories) > 50
    np.testing.assert_allclose(batch.projection, 0, atol=1e-9)


def test_a_killed_run_loses_one_batch_and_resumes_with_the_same_numbers(
    tiny: SubjectModel, stories: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "BATCH", 4)
    texts = set_of(stories)

    def table(store: Path) -> pd.DataFrame:
        projector = projector_of(tiny, store)
        measured = measure_set(projector, texts, None, 3, 0)
        rows = passage_rows(measured.highest, projector, NAMES, 2.0)
        table = groups_table([measured], "projection", NAMES, 2.0)
        return table.assign(
            rows=len(rows), first=rows[0]["text"], sha=measured.counts.row()["sha256"]
        )

    whole = table(tmp_path / "whole")
    rows, n = Projector._row, [0]

    def dying(self: Projector, passages: Any) -> Any:
        n[0] += 1
        if n[0] == 4:
            raise KeyboardInterrupt
        return rows(self, passages)

    monkeypatch.setattr(Projector, "_row", dying)
    with pytest.raises(KeyboardInterrupt):
        table(tmp_path / "killed")
    stored = sorted(p.name for p in (tmp_path / "killed").rglob("*.safetensors"))
    assert len(stored) == 3
    before = n[0]
    resumed = table(tmp_path / "killed")
    pd.testing.assert_frame_equal(whole, resumed)
    files = [
        sorted(p.name for p in (tmp_path / k).rglob("*.safetensors")) for k in ("whole", "killed")
    ]
    assert files[0] == files[1]
    assert n[0] - before == len(files[0]) - 3


def test_top_passages_are_the_highest_and_marks_are_above_the_percentile(
    tiny: SubjectModel, stories: list[str], tmp_path: Path
) -> None:
    projector = projector_of(tiny, tmp_path)
    measured = measure_set(projector, set_of(stories), None, 3, 0)
    batches = projector.batches(set_of(stories), None, Counts(), Sums.empty(projector.directions))
    every = np.concatenate([batch.projection for batch in batches])
    rows = pd.DataFrame(passage_rows(measured.highest, projector, NAMES, 2.0))
    for k, name in enumerate(NAMES):
        part = rows[rows["emotion"] == name]
        np.testing.assert_allclose(part["projection"], np.sort(every[:, k])[::-1][:3] / 2)
        for row in part.to_dict("records"):
            assert np.nanmean(row["projections"]) == pytest.approx(row["projection"], abs=1e-5)
    sample = measured.highest.sample
    assert len(sample) == len(every) <= projection.BATCH
    [everything] = [np.concatenate([v for v in _values(projector, sample)])]
    threshold = rows.groupby("emotion")["threshold"].first()
    for k, name in enumerate(NAMES):
        assert (everything[:, k] > threshold[name]).mean() == pytest.approx(0.1, abs=0.01)


def _values(projector: Projector, passages: Any) -> Any:
    for _, found in projector.tokenwise(passages):
        yield (found.residuals[found.used].numpy() @ projector.directions.T) / 2


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    store, fewer = tmp_path_factory.mktemp("store"), "scale.stories_per_emotion=6"
    study = composed("corpus", store, fewer, "emotions=core12")
    vars(study)["corpus"] = replace(study.corpus, neutral=study.corpus.neutral[:24])
    return study


def ran(study: Study, directory: Path, *sources: str, **settings: Any) -> dict[str, pd.DataFrame]:
    config = study.config
    config.run_dir = str(directory)
    config.experiment.__dict__ |= {"texts": list(sources), "top": 2, **settings}
    result = config.experiment.run(study)
    return {**result.tables, "metrics": pd.Series(result.metrics)}


def written(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


def test_planted_emotions_rank_high_and_the_same_texts_rank_alike(
    study: Study, corpus: Corpus, tmp_path: Path
) -> None:
    happy, sad = (
        written(tmp_path / f"{name}.jsonl", [s.text for s in corpus.by_emotion[name][8:20]])
        for name in ("happy", "sad")
    )
    tables = ran(study, tmp_path, happy, sad)
    ranking = tables["ranking"].set_index(["set", "emotion"])
    n = len(study.emotions)
    for own, other in (("happy", "sad"), ("sad", "happy")):
        assert ranking.loc[(own, own), "contrast_rank"] == 1
        assert ranking.loc[(own, own), "centred_rank"] <= 3
        assert ranking.loc[(own, other), "contrast_rank"] >= n - 2
        assert ranking.loc[(own, own), "raw_low"] > ranking.loc[(other, own), "raw_high"]
    assert (ranking["raw_low"] <= ranking["raw"]).all() and (
        ranking["raw"] <= ranking["raw_high"]
    ).all()
    assert tables["metrics"]["rank_correlation_raw"] < 0.6
    assert list(tables["texts"]["documents"])[:2] == [12, 12]

    twice = ran(study, tmp_path, happy, happy)["agreement"]
    np.testing.assert_allclose(twice["rho"], 1)
    assert (twice["permuted_p"] < 0.05).all() and (twice["permuted_high"] < 0.9).all()
    raw = twice.set_index("column").loc["raw"]
    assert raw["isotropic_p"] == 1, "random directions agree as well about the same texts"

    texts = [HOSTILE + " " + s.text for s in corpus.by_emotion["sad"][:3]]
    ran(study, tmp_path, written(tmp_path / "hostile.jsonl", texts))
    record = RunRecord(
        experiment="corpus",
        model=HOSTILE,
        span="",
        seed=0,
        settings={},
        identity="",
        code="",
        where={},
        started="",
        provenance={},
        status=RunStatus.success,
        notes=[HOSTILE],
    )
    page = write_passages_page(SavedRun(tmp_path, record)).read_text(encoding="utf-8")
    assert page.count("<script>") == 1 and "onclick='x'" not in page
    assert "<mark>" in page and "&lt;" in page


def test_what_cannot_be_measured_is_one_line(
    study: Study, tiny: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    text = corpus.by_emotion["sad"][0].text
    for texts, said in (
        (["too short", "too"], "at least 16 tokens"),
        ([text, "a"], "interval over documents"),
    ):
        with pytest.raises(EmoexpError, match=said):
            ran(study, tmp_path, written(tmp_path / "short.jsonl", texts))
    with pytest.raises(EmoexpError, match="experiment.tokens=600 is too many"):
        projector_of(tiny, tmp_path, tokens=600).check()
    experiment = type(study.config.experiment)
    for settings, said in (
        ({"documents": 0}, "experiment.documents=0: must be at least"),
        ({"tokens": 3}, "experiment.tokens=3: must be at least"),
        ({"sample": "some"}, "experiment.sample=some"),
        ({"separator": "("}, "not a pattern"),
        ({"separator": "x{99999999999}"}, "not a pattern"),
    ):
        with pytest.raises(EmoexpError, match=said):
            experiment(**settings)


def test_every_form_gives_the_same_numbers(
    tiny: SubjectModel, stories: list[str], tmp_path: Path
) -> None:
    written(tmp_path / "a.jsonl", stories)
    pd.DataFrame({"text": stories}).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_text("\n%\n".join(stories) + "\n")
    hub = tmp_path / "hub"
    hub.mkdir()
    pd.DataFrame({"text": stories}).to_parquet(hub / "train.parquet")
    digests = set()
    for source in (*(str(tmp_path / f"a.{k}") for k in ("jsonl", "parquet", "txt")), f"hf:{hub}"):
        texts = open_texts(source, Options(separator="%"))
        digests.add(
            measure_set(projector_of(tiny, tmp_path), texts, 100, 1, 0).counts.row()["sha256"]
        )
    assert len(digests) == 1
    assert len(list((tmp_path / "texts").rglob("*.safetensors"))) == 1


def test_without_a_bos_the_first_token_of_the_text_is_left_out(
    tiny: SubjectModel, stories: list[str], tmp_path: Path
) -> None:
    projector = projector_of(tiny, tmp_path, tokens=400)
    passages = list(projector.cutter.passages(set_of(stories[:2]), None, Counts()))
    n = len(projector.cutter.prefix())
    bare = [replace(p, tokens=Tokens(p.tokens.ids[n:], p.tokens.offsets[n:])) for p in passages]
    for with_bos, expected in ((passages, [False, True]), (bare, [False, True])):
        for _, found in projector.tokenwise(with_bos):
            assert found.used[0, :2].tolist() == expected
    row = projector._row(bare)
    lengths = [len(p.tokens.ids) for p in bare]
    assert (int(row["tokens"]), int(row["first"]), int(row["special"])) == (sum(lengths) - 2, 2, 0)
