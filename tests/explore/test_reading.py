"""A reading has the numbers of the API, a null that holds, and a clear line for each bad text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from emoexp.api import fit_vectors
from emoexp.errors import EmoexpError
from emoexp.explore import texts
from emoexp.explore.reader import Reader, _tokens
from emoexp.explore.reading import compare
from emoexp.models.prompts import Prompt
from emoexp.stats.own_probe import CENTRED, RAW
from emoexp.vectors.pooling import massive_tokens
from emoexp.vectors.probes import assistant_residuals, cosine

TEXT = "I lost my keys and my dog is gone."


def test_cosines_are_those_of_the_api(reader: Reader) -> None:
    study = reader.study
    model, reading = study.model, reader.read(TEXT)
    scale = study.config.scale
    for layer in (0, study.layer, model.n_layers - 1):
        vectors = fit_vectors(
            model,
            study.stimuli,
            layer=layer,
            emotions=study.emotions,
            scale=scale,
            store=study.config.artifacts,
        )
        encoding = model.encode([model.ask(Prompt(TEXT))])
        residuals = model.residuals(encoding, [layer])[0, 0].double().numpy()
        expected = cosine(residuals, vectors.directions)
        np.testing.assert_array_equal(reading.at_tokens(layer), expected)
        np.testing.assert_array_equal(reading.summary("turn")[layer], expected[-1])
        counted = reading.tokens.counted[layer]
        np.testing.assert_allclose(reading.summary()[layer], expected[counted].mean(0))


def test_the_mean_is_over_the_typed_text_alone(reader: Reader) -> None:
    tokens = reader.read(TEXT).tokens
    shown = "".join(t for t, own in zip(tokens.shown, tokens.in_text, strict=True) if own)
    assert shown.strip() == TEXT
    assert not tokens.counted[:, 0].any()  # BOS


def test_a_sequence_s_first_token_is_left_out(reader: Reader) -> None:
    alone = reader.read(TEXT, as_turn=False)
    assert alone.tokens.shown[0] == "<bos>"
    assert alone.tokens.counted[0].tolist() == [False] + [True] * (len(alone.tokens) - 1)


def test_another_emotion_or_layer_runs_no_model(reader: Reader) -> None:
    first = reader.read(TEXT)
    before = reader.forwards
    again = reader.read(TEXT)
    assert again is first
    again.layer_table("turn", CENTRED)
    again.token_table(3, CENTRED)
    assert reader.forwards == before
    reader.read(TEXT + " Now.")
    assert reader.forwards == before + 1


def test_centring_is_over_the_pack_s_scenarios(reader: Reader) -> None:
    scenarios = [s.text for s in reader.study.stimuli.scenarios]
    centred = [reader.read(text).summary("turn", CENTRED) for text in scenarios]
    assert np.abs(np.mean(centred, 0)).max() < 1e-9
    assert np.abs(np.mean([reader.read(t).summary("turn") for t in scenarios], 0)).max() > 0.01


@pytest.mark.parametrize("as_turn", [True, False])
def test_the_last_token_is_centred_alike_in_the_map_and_the_curve(
    reader: Reader, as_turn: bool
) -> None:
    reading = reader.read(TEXT, as_turn)
    for layer in range(reading.n_layers):
        last = reading.summary("turn", CENTRED)[layer]
        np.testing.assert_array_equal(reading.at_tokens(layer, CENTRED)[-1], last)
    part = "turn" if as_turn else "text"
    difference = reading.summary("turn") - reading.summary("turn", CENTRED)
    np.testing.assert_allclose(difference, reader.reference[0][part])
    drawn = reading.random_summary("turn") - reading.random_summary("turn", CENTRED)
    np.testing.assert_allclose(drawn, reader.reference[1][part])


def test_scenarios_show_the_emotion_that_they_do_not_name(reader: Reader) -> None:
    study = reader.study
    own = [s for s in study.stimuli.scenarios if s.emotion in study.emotions]
    ranks = []
    for scenario in own:
        cosines = reader.read(scenario.text).summary("turn", CENTRED)[study.layer]
        ranks.append(int((cosines > cosines[study.emotions.index(scenario.emotion)]).sum()))
    assert len(own) >= 4
    assert np.mean(np.array(ranks) == 0) >= 0.75


@pytest.mark.parametrize("read_out", [RAW, CENTRED])
def test_the_band_holds_directions_that_were_not_in_it(reader: Reader, read_out: str) -> None:
    layer, reading = reader.study.layer, reader.read(TEXT)
    width = reader.study.model.d_model
    draws = np.random.default_rng(99).standard_normal((400, width))
    draws /= np.linalg.norm(draws, axis=1, keepdims=True)
    kept, reader.__dict__["random"] = reader.random, [draws] * reader.study.model.n_layers
    kept_reference = reader.__dict__.pop("reference")
    try:
        fresh = reader._read(TEXT, True)
    finally:
        reader.__dict__["random"], reader.__dict__["reference"] = kept, kept_reference
    low, high = reading.summary_band("turn", read_out)[layer]
    inside = fresh.random_summary("turn", read_out)[layer]
    assert 0.85 < ((inside >= low) & (inside <= high)).mean() < 0.99


def test_a_text_compared_with_itself_differs_nowhere(reader: Reader) -> None:
    a, layer = reader.read(TEXT), reader.study.layer
    table = compare(a, a, (layer, layer), ("text", "text"))
    assert (table["difference"] == 0).all()
    assert not table["beyond"].any()
    moved = compare(a, a, (layer, layer), ("text", "turn"))
    assert moved["difference"].abs().is_monotonic_decreasing
    np.testing.assert_array_equal(moved["b"] - moved["a"], moved["difference"])


def test_the_order_of_two_readings_changes_signs_and_nothing_else(reader: Reader) -> None:
    a, b, layer = reader.read("I won the prize!"), reader.read(TEXT), reader.study.layer
    b = replace(b, emotions=b.emotions[::-1])
    there = compare(a, b, (layer, layer), ("turn", "turn")).set_index("emotion")
    back = compare(b, a, (layer, layer), ("turn", "turn")).set_index("emotion").loc[there.index]
    np.testing.assert_allclose(back["difference"], -there["difference"])
    np.testing.assert_allclose(back["null_low"], -there["null_high"])
    assert (back["beyond"] == there["beyond"]).all()
    beyond = there[there["beyond"]]["difference"]
    assert len(beyond)
    last = dict(zip(b.emotions, b.summary("turn")[layer], strict=True))
    assert there["b"].to_dict() == last


def test_numeric_curves_are_those_of_v5(reader: Reader) -> None:
    study = reader.study
    template = study.stimuli.numeric[0]
    probes = [e for e in template.signs if e in study.emotions]
    table = reader.numeric(template, study.layer, probes)
    filled = {template.key: [template.template.format(X=x) for x in template.values]}
    residuals = assistant_residuals(study.model, study.artifacts, filled, study.layer)[0]
    expected = cosine(residuals, study.vectors_at(study.layer).only(tuple(probes)))
    np.testing.assert_array_equal(table[probes].to_numpy(), expected)
    one = reader.read(filled[template.key][0]).summary("turn")[study.layer]
    indices = [study.emotions.index(e) for e in probes]
    np.testing.assert_allclose(one[indices], expected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "the text is empty"),
        (" \n\t ", "the text is empty"),
        ("word " * 20_000, "the model has 512 positions|the text has .* positions: shorten it"),
        ("x" * 300_000, "has 300,000 characters"),
        ("half a pair \ud83d here", "character 13 of the text is not valid Unicode"),
        ("a <eos> b", "special tokens of the model"),
    ],
)
def test_a_text_that_cannot_be_read_gets_one_line(reader: Reader, text: str, line: str) -> None:
    before = reader.forwards
    with pytest.raises(EmoexpError, match=line) as caught:
        reader.read(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert reader.forwards == before


def test_a_text_longer_than_is_read_at_once_gets_one_line(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "MAX_TOKENS", 10)
    with pytest.raises(EmoexpError, match="reads at most 10: shorten it"):
        reader.read("one two three four five six seven eight nine ten eleven")


@pytest.mark.parametrize(
    "text", ["👩‍👩‍👧 joy 🎉 done", "\u202egnp.exe is calm", "<script>alert(1)</script>"]
)
def test_hostile_texts_are_read_as_text(reader: Reader, text: str) -> None:
    reading = reader.read(text)
    assert np.isfinite(reading.summary()).all()
    assert len(reading.tokens.shown) == reading.cosines.tokens.shape[1]


def test_massive_tokens_are_those_that_extraction_leaves_out(reader: Reader) -> None:
    """With an even number of tokens the median is the lower of the two in the middle."""
    model = reader.study.model
    prompt = texts.prompt_of(model, "Anna went to the market and came home.", as_turn=False)
    encoding = model.encode([prompt])
    normal = (encoding.is_text & (encoding.positions > 0))[0]
    if int(normal.sum()) % 2:
        prompt = texts.prompt_of(model, "Anna went to the market and came home..", as_turn=False)
        encoding = model.encode([prompt])
        normal = (encoding.is_text & (encoding.positions > 0))[0]
    n = int(normal.sum())
    assert n % 2 == 0
    norms = torch.ones(len(normal))
    sizes = [1.0] * (n // 2) + [5.0] * (n // 2 - 1) + [20.0]
    norms[normal] = torch.tensor(sizes)
    residual = (norms[:, None] * torch.eye(1, model.d_model)).numpy()
    found = _tokens(model.tokenizer, prompt, encoding, [residual])
    expected = massive_tokens(norms[None].double(), normal[None])
    np.testing.assert_array_equal(found.massive, expected.numpy())
    assert found.massive.sum() == 1
