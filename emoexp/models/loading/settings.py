"""The settings of a model: which go together, and what transformers takes them for."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path
from typing import Any

import torch

from emoexp.config import ModelConfig, Quantization
from emoexp.errors import EmoexpError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


def named(config: ModelConfig) -> str:
    """Returns how messages name the model."""
    return f"model.repo_id={config.repo_id!r}" + (
        f" (model.revision={config.revision!r})" if config.revision else ""
    )


def is_local(config: ModelConfig) -> bool:
    """Tells whether a model is on this machine or made of wheels, and not on the hub."""
    bundled = config.repo_id.startswith("bundled:")
    return bool(config.wheels) or bundled or Path(config.repo_id).expanduser().exists()


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
    if config.revision and is_local(config):
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


def attention_options(config: ModelConfig) -> dict[str, Any]:
    """Returns the attention implementation that was asked for; nothing is transformers' choice."""
    return {} if config.attention is None else {"attn_implementation": config.attention}
