"""Loading: what is loaded is what was saved, whatever holds it; what cannot be loaded is one line
that says what to do."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from nnsight.modeling.transformers import TransformersModel
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from emoexp.cli.main import CONF, register_schemas
from emoexp.config import Config, Quantization
from emoexp.errors import EmoexpError
from emoexp.models.loading import memory
from emoexp.models.loading.load import BUNDLED, device_of_inputs, estimate, load_network
from tests.helpers.saved_models import edit, model, save_tiny
from tests.helpers.tiny_models import ARCHITECTURES, tiny_network

TEXTS = ["Human: The bells had rung for my wedding and I sang.", "A cart rolled by."]
MODELS = sorted(p.stem for p in (CONF / "model").glob("*.yaml"))
NEEDS_BITSANDBYTES = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="bitsandbytes is not installed (emoexp[quantization])",
)


def inputs(tokenizer: Any) -> dict[str, torch.Tensor]:
    return dict(tokenizer(TEXTS, return_tensors="pt", padding=True))


def logits(network: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(**inputs(tokenizer)).logits.float()


def block_output(
    network: Any, tokenizer: Any, steer: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Through nnsight: the output of block 1 and the logits, with `steer` added to that output."""
    traced = TransformersModel(network, tokenizer=tokenizer, task="text-generation")
    with torch.no_grad(), traced.trace(**inputs(tokenizer), use_cache=False):
        h = traced.model.layers[1].output.clone().save()
        traced.model.layers[1].output = traced.model.layers[1].output + steer
        out = traced.output.logits.save()
    return h, out


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_file_is_short_and_composes(name: str) -> None:
    register_schemas()
    chosen = [f"model={name}", *(["model.repo_id=a/b"] if name == "custom" else [])]
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        config: Config = OmegaConf.to_object(compose("config", chosen))  # type: ignore[assignment]
    lines = (CONF / "model" / f"{name}.yaml").read_text().splitlines()
    assert len(lines) <= 9 + len(config.model.wheels)
    local = config.model.repo_id.startswith(("bundled:", "pip:"))
    assert config.model.repo_id.count("/") == (0 if local else 1)
    assert bool(config.model.wheels) == config.model.repo_id.startswith("pip:")
    assert config.model.name == (name if name != "custom" else "a/b")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_comes_back_as_it_was_saved(architecture: str, tmp_path: Path) -> None:
    network = tiny_network(architecture).eval()
    network.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(BUNDLED / "organism").save_pretrained(tmp_path)
    loaded = load_network(model(tmp_path, dtype="float32"))
    torch.testing.assert_close(
        logits(loaded.network, loaded.tokenizer), logits(network, loaded.tokenizer), rtol=0, atol=0
    )
    assert loaded.memory.parameters == sum(p.numel() for p in network.parameters()), (
        "counted without weights, exactly"
    )
    assert (loaded.dtype, loaded.device.type, loaded.commit) == ("float32", "cpu", None)
    assert not loaded.network.training


def test_auto_dtype_is_the_checkpoints_own_and_float32_where_it_names_none(copy: Path) -> None:
    assert load_network(model("bundled:organism")).network.dtype is torch.bfloat16
    assert load_network(model("bundled:organism")).dtype == "bfloat16"
    assert load_network(model("bundled:organism", dtype="float32")).network.dtype is torch.float32
    edit(copy, dtype=None)
    assert (load_network(model(copy)).dtype, load_network(model(copy)).network.dtype) == (
        "float32",
        torch.float32,
    )


def test_a_tokenizer_without_pad_token_pads_with_its_end_token(copy: Path) -> None:
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    assert settings.pop("pad_token") != settings["eos_token"]
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_network(model(copy)).tokenizer
    assert tokenizer.pad_token == tokenizer.eos_token


def test_attention_is_what_was_asked_for(saved: Path) -> None:
    eager, default = load_network(model(saved, attention="eager")), load_network(model(saved))
    assert (
        eager.network.config._attn_implementation,
        default.network.config._attn_implementation,
    ) == ("eager", "sdpa")
    torch.testing.assert_close(
        logits(eager.network, eager.tokenizer),
        logits(default.network, default.tokenizer),
        rtol=1e-4,
        atol=1e-4,
    )


SETTINGS: list[tuple[dict[str, Any], str]] = [
    (
        {"dtype": "float8"},
        r"model.dtype='float8' is unknown: choose from float32, bfloat16, float16, auto",
    ),
    ({"device": "gpu"}, r"model.device='gpu' is unknown: choose from cpu, cuda, cuda:N, mps, auto"),
    ({"device": "cpu:1"}, r"model.device='cpu:1' is unknown"),
    ({"device": "cuda:99"}, r"model.device='cuda:99' is not on this machine \(\d+ GPU"),
    (
        {"attention": "flash"},
        r"model.attention='flash' is unknown: choose from eager, .*sdpa.*null",
    ),
    (
        {"device_map": "all"},
        (
            r"model.device_map='all' is unknown: choose from auto, balanced, balanced_low_0,"
            r" sequential, null"
        ),
    ),
    (
        {"device_map": "auto", "device": "cpu"},
        r"model.device_map=auto chooses the devices itself: leave model.device='cpu' out",
    ),
    (
        {"tensor_parallel": True, "device_map": "auto"},
        r"excludes model.device_map and model.quantization",
    ),
    ({"tensor_parallel": True}, r"launch it with torchrun --nproc-per-node N -m emoexp"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_a_wrong_setting_is_one_line(saved: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(EmoexpError, match=message) as raised:
        load_network(model(saved, **settings))
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(
    importlib.util.find_spec("flash_attn") is not None,
    reason="flash_attn is installed, so nothing is refused",
)
def test_an_attention_that_is_not_installed_is_one_line(saved: Path) -> None:
    with pytest.raises(
        EmoexpError,
        match=r"with model.attention='flash_attention_2' could not be loaded: .*FlashAttention2",
    ) as raised:
        load_network(model(saved, attention="flash_attention_2"))
    assert "\n" not in str(raised.value)


def test_quantization_without_bitsandbytes_is_one_line(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        EmoexpError, match=r"model.quantization=nf4 needs bitsandbytes: pip install"
    ):
        load_network(model(saved, quantization=Quantization.nf4))


@NEEDS_BITSANDBYTES
@pytest.mark.parametrize(
    ("quantization", "closeness"), [(Quantization.int8, 0.999), (Quantization.nf4, 0.98)]
)
def test_quantized_the_organism_still_says_the_same(
    quantization: Quantization, closeness: float
) -> None:
    """Correlation of logits with float32's, measured on a CPU: int8 0.9999, nf4 0.994 on these two
    texts."""
    plain = load_network(model("bundled:organism", dtype="float32"))
    loaded = load_network(model("bundled:organism", dtype="float32", quantization=quantization))
    ours, theirs = logits(loaded.network, loaded.tokenizer), logits(plain.network, plain.tokenizer)
    assert (
        closeness
        < float(torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1])
        < 0.999999
    )
    assert loaded.network.lm_head.weight.dtype is torch.float32, (
        "the unembedding is read by the logit lens"
    )
    footprint = loaded.network.get_memory_footprint()  # without nf4's scales
    assert footprint <= loaded.memory.weights < 1.1 * footprint
    assert loaded.memory.weights < 0.6 * plain.memory.weights


def test_weights_that_are_not_used_are_said(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(copy, num_hidden_layers=3)
    load_network(model(copy))
    said = capsys.readouterr().err
    assert "has 9 weight(s) that its config.json does not ask for, and they are not used" in said
    assert "(model.layers.3." in said


def test_a_quantized_checkpoint_is_not_quantized_again(copy: Path) -> None:
    edit(copy, quantization_config={"quant_method": "mxfp4"})
    with pytest.raises(
        EmoexpError, match=r"is quantized already: leave model.quantization=nf4 out"
    ):
        load_network(model(copy, quantization=Quantization.nf4))
    assert " if its mxfp4 is unpacked" in estimate(model(copy)).line


@pytest.mark.parametrize("device_map", ["auto", "balanced", "sequential"])
def test_a_device_map_loads_the_same_model(saved: Path, device_map: str) -> None:
    plain, mapped = load_network(model(saved)), load_network(model(saved, device_map=device_map))
    torch.testing.assert_close(
        logits(mapped.network, mapped.tokenizer),
        logits(plain.network, plain.tokenizer),
        rtol=1e-5,
        atol=1e-5,
    )


def test_layers_offloaded_to_disk_are_read_and_steered_as_usual(saved: Path) -> None:
    """What accelerate does when a device map runs out of devices; on a CPU only the disk can play
    the second device."""
    plain = load_network(model(saved))
    where = {
        "model.embed_tokens": "cpu",
        "model.layers.0": "cpu",
        "model.layers.1": "disk",
        "model.layers.2": "cpu",
        "model.layers.3": "disk",
    }
    where |= {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "disk"}
    network = AutoModelForCausalLM.from_pretrained(
        saved, dtype=torch.float32, device_map=where
    ).eval()
    assert network.model.layers[1].mlp.up_proj.weight.device.type == "meta"
    assert device_of_inputs(network).type == "cpu"
    for steer in (0.0, 1.0):
        for ours, theirs in zip(
            block_output(network, plain.tokenizer, steer),
            block_output(plain.network, plain.tokenizer, steer),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this build of torch has no torch.distributed"
)
def test_tensor_parallel_processes_read_steer_and_say_what_one_process_does(saved: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = (
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "tests.models.test_loading",
        str(saved),
    )
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("rank")) == [
        "rank 0 agrees",
        "rank 1 agrees",
    ]


def tensor_parallel_worker(folder: str) -> None:
    """One of the two processes of the test above; raises where it differs from the model on its
    own."""
    ours, alone = load_network(model(folder, tensor_parallel=True)), load_network(model(folder))
    assert ours.network.model.layers[0].mlp.up_proj.weight.to_local().shape == (
        64,
        64,
    ), "half of the 128 rows"
    close: Callable[..., None] = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)  # noqa: E731
    close(logits(ours.network, ours.tokenizer), logits(alone.network, alone.tokenizer))
    for steer in (0.0, 1.0):
        for mine, wanted in zip(
            block_output(ours.network, ours.tokenizer, steer),
            block_output(alone.network, alone.tokenizer, steer),
            strict=True,
        ):
            close(mine, wanted)
    with pytest.raises(EmoexpError, match=r"tensor_parallel=true .*split"):
        os.environ["WORLD_SIZE"] = "3"
        load_network(model(folder, tensor_parallel=True))
    sys.stdout.write(f"rank {os.environ['RANK']} agrees\n")
    torch.distributed.destroy_process_group()


LLAMA70B = {
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}


@pytest.fixture(scope="module")
def seventy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of the shape of Llama 70B, and no weights."""
    folder = tmp_path_factory.mktemp("llama70b")
    LlamaConfig(vocab_size=128256, dtype="bfloat16", **LLAMA70B).save_pretrained(folder)
    return folder


def test_memory_is_reckoned_before_anything_is_loaded(
    seventy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda config, device: (24 * 10**9, "cpu"))
    needed = estimate(model(seventy))
    assert needed.parameters == 70_553_706_496, "as published"
    assert needed.weights == 2 * needed.parameters
    assert needed.line.startswith("tiny: 70.6 B parameters, bfloat16: 141 GB of weights + ")
    assert needed.line.endswith("; 24 GB free on cpu")
    embeddings = 2 * 128256 * 8192
    quantized = estimate(model(seventy, quantization=Quantization.nf4))
    assert quantized.weights == pytest.approx(
        2 * embeddings + 0.5625 * (needed.parameters - embeddings), rel=1e-3
    )
    with pytest.raises(
        EmoexpError,
        match=(
            r"it needs \d+ GB and does not fit; set model.quantization=nf4, model.device_map=auto,"
            r" .*model.check_memory=false"
        ),
    ):
        load_network(model(seventy))
    with pytest.raises(EmoexpError, match="has no safetensors weights|tokenizer"):
        load_network(model(seventy, check_memory=False))


def test_a_batch_counts_towards_memory(saved: Path) -> None:
    small, large = (
        estimate(model(saved, batch_tokens=1024)),
        estimate(model(saved, batch_tokens=4096)),
    )
    assert large.activations == 4 * small.activations > 4 * 1024 * 64 * (4 + 4 + 8)
    assert small.weights == large.weights


def test_too_little_memory_is_refused_unless_told_not_to(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda config, device: (1000, "cpu"))
    with pytest.raises(EmoexpError, match="does not fit"):
        load_network(model(saved))
    load_network(model(saved, check_memory=False))
    assert capsys.readouterr().err.count("parameters, float32: ") == 2, (
        "the line is shown either way"
    )


if __name__ == "__main__":
    tensor_parallel_worker(sys.argv[1])
