"""The bench compares before it times, counts as the network counts, and its ways to the same
numbers agree; without the peers' libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import peers
from benchmarks.bench import Bench, Outcome, Settings
from benchmarks.bounds import SHAPES, Rates, causal
from benchmarks.extraction import forwards, padding
from benchmarks.preferences import Sample
from benchmarks.race import ROOT, Contestant, Spread, difference, place, race
from benchmarks.table import cells, markdown, record
from emoexp.models.subject import Steering
from emoexp.vectors.pooling import pool_texts


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Settings(shape="tiny", repetitions=1, quick=True))


def test_a_peer_that_gives_other_numbers_or_fails_is_not_timed() -> None:
    calls = dict.fromkeys(("ours", "same", "other", "bare"), 0)

    def giving(name: str, value: float) -> Contestant:
        def run() -> np.ndarray:
            calls[name] += 1
            return np.array([1.0, value])

        return Contestant(name, run)

    broken = Contestant("broken", lambda: 1 / 0)
    heat = race(
        [
            giving("ours", 2),
            giving("same", 2 + 1e-6),
            giving("other", 2.1),
            giving("bare", 9),
            broken,
        ],
        3,
        1e-4,
        only_timed={"bare": "no numbers"},
    )
    assert list(heat.seconds) == ["ours", "same", "bare"]
    assert "off by 0.05" in heat.refused["other"] and "ZeroDivisionError" in heat.refused["broken"]
    assert calls == {"ours": 4, "same": 4, "other": 1, "bare": 4}
    assert [len(s) for s in heat.seconds.values()] == [3, 3, 3]


def test_ratios_are_taken_within_a_repetition() -> None:
    from benchmarks.race import Heat

    heat = Heat({"ours": [1.0, 10.0, 2.0], "loop": [3.0, 20.0, 8.0]}, {}, {})
    assert heat.ratio("loop", "ours") == Spread(3.0, 2.0, 4.0, 3)


def test_difference_is_a_share_and_never_hides_nan_or_a_shape() -> None:
    assert difference([10.0, 0.0], torch.tensor([9.0, 0.0])) == pytest.approx(0.1)
    assert difference([1.0], [float("nan")]) == difference([1.0], [1.0, 2.0]) == float("inf")


def test_flops_are_those_of_the_network() -> None:
    shape, length = SHAPES["tiny"], 13
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=shape.d_model,
        intermediate_size=shape.ff,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        attn_implementation="eager",
    )
    network = LlamaForCausalLM(config)
    with FlopCounterMode(display=False) as counted:
        network.model(torch.ones(1, length, dtype=torch.long), use_cache=False)
    assert counted.get_total_flops() == shape.flops(length, length**2)
    assert causal(3) == 1 + 2 + 3 and causal(5, 3) == 4 + 5


def test_the_bound_is_the_slower_of_operations_and_bytes() -> None:
    rates = Rates(flops=100.0, bytes=10.0)
    assert (
        rates.seconds(200, 10) == 2.0 and rates.seconds(100, 60) == 3.0
    )  # a copy moves each byte twice


def test_hooks_give_the_means_that_emoexp_gives(bench: Bench) -> None:
    texts = bench.stories(6)
    ours = pool_texts(bench.model, texts)
    assert difference(ours, peers.extract_hooks(bench.plain, bench.tokenizer, texts, 1)) < 1e-5
    assert difference(ours, peers.extract_hooks(bench.plain, bench.tokenizer, texts, 4)) < 1e-5


def test_padding_is_counted_at_the_network(bench: Bench) -> None:
    texts = bench.stories(6)
    lengths = [len(bench.tokenizer(t)["input_ids"]) for t in texts]
    padded, real = padding(forwards(bench.model, lambda: pool_texts(bench.model, texts)))
    assert real == sum(lengths) and padded >= real
    assert len(set(lengths)) > 3 and min(lengths) > 55


def test_steered_margins_by_replay_are_those_of_hooked_full_forwards(bench: Bench) -> None:
    sample = Sample(bench, 3)
    for band in ((2,), (0, 1)):
        ours, full, still = (
            sample.replayed(band),
            sample.in_full(band),
            sample.in_full(band, still=True),
        )
        assert difference(ours, full) < 1e-4
        assert difference(ours, still) > 1e-2  # else they would agree without steering too
        assert difference(ours[:1], sample.in_full(band, 1, tokens=1)) < 1e-4
    full_work, least = sample.work((2,), 3)
    assert full_work > least > 0


def test_hooked_generation_says_what_emoexp_says(bench: Bench) -> None:
    from emoexp.models.prompts import Prompt

    encoding = bench.model.encode(
        [Prompt("Human: one\n\nAssistant:"), Prompt("Human: another thing\n\nAssistant:")]
    )
    inputs = {name: t for name, t in bench.model.inputs(encoding).items() if name != "position_ids"}
    vector = 5 * torch.nn.functional.normalize(
        torch.randn(bench.model.d_model, generator=torch.Generator().manual_seed(1)), dim=0
    )
    ours = bench.model.generate(
        encoding, max_new_tokens=6, steering=Steering({2: vector[None]}, encoding.mask)
    ).ids
    assert np.array_equal(np.array(ours), peers.generate_hooks(bench.plain, inputs, 2, vector, 6))
    assert not np.array_equal(
        np.array(ours), peers.generate_hooks(bench.plain, inputs, None, vector, 6)
    )


def test_results_keep_other_rows_and_the_table_shows_a_miss(tmp_path: Path) -> None:
    machine = Bench(Settings(shape="tiny", quick=True)).machine()
    met = Outcome("a", "some work", ">= 2x", Spread(3.0, 2.0, 4.0, 3), 2)
    missed = Outcome(
        "b",
        "other work",
        "<= 5 %",
        Spread(9.0, 8.0, 9.5, 3),
        5,
        at_least=False,
        unit=" %",
        profile=["1 s x.py:3 f"],
        refused={"peer": "why"},
    )
    only = Outcome("c", "third", "reported", Spread(1.0, 1.0, 1.0, 1))
    assert (met.met, missed.met, only.met) == (True, False, None)
    path = tmp_path / "results.json"
    record(path, [met.as_dict() | {"machine": machine}])
    held = record(
        path, [missed.as_dict() | {"machine": machine}, only.as_dict() | {"machine": machine}]
    )
    assert list(held) == ["a", "b", "c"] == list(json.loads(path.read_text()))
    assert held["b"]["profile"] and "profile" not in held["a"]
    assert (
        cells(held["b"])[2:4] == ("9.00 % (8.00 .. 9.50; 3)", "no")
        and "peer: not timed" in cells(held["b"])[5]
    )
    assert "QUICK" in markdown(held) and path.with_suffix(".md").read_text() == markdown(held)


def test_profiles_name_files_without_this_machines_folders() -> None:
    import benchmarks.race

    assert place(benchmarks.race.__file__, 3, "f") == "benchmarks/race.py:3 f"
    assert place("/x/lib/python3.11/site-packages/torch/a.py", 1, "g") == "torch/a.py:1 g"


def test_the_docs_show_the_table_that_was_measured() -> None:
    written = (ROOT / "benchmarks" / "results.md").read_text()
    assert written == markdown(json.loads((ROOT / "benchmarks" / "results.json").read_text()))
    assert '--8<-- "benchmarks/results.md"' in (ROOT / "docs" / "performance.md").read_text()
    assert "QUICK" not in written
