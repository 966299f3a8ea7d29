"""Loading a subject model through transformers: settings checked, memory reckoned, weights read;
every failure is one line."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from emoexp.config import ModelConfig, Quantization
from emoexp.errors import EmoexpError
from emoexp.models.loading.hub_errors import CONVERT, explained
from emoexp.models.loading.memory import Memory, estimate_memory, refuse_unless_it_fits
from emoexp.places import MODELS

BUNDLED = MODELS
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True)
class Loaded:
    """A model ready to run.

    Attributes:
        network: the transformers model, in evaluation mode.
        tokenizer: with a pad token.
        dtype: the one in use, by name: what `auto` came to. Quantized weights compute in it.
        device: where inputs go (under a device_map that is the embedding's device, not
            `network.device`, which may be "meta").
        placement: where the weights are, for people.
        commit: the commit of the hub's repository that was loaded; None for a folder.
        memory: the estimate, made before loading.
    """

    network: Any
    tokenizer: Any
    dtype: str
    device: torch.device
    placement: str
    commit: str | None
    memory: Memory


@dataclass(frozen=True)
class Remote:
    """A model that runs on NDIF: `traced` (an nnsight TransformersModel) has the modules but no
    weights, all on the meta device."""

    traced: Any
    tokenizer: Any
    dtype: str


def load_network(config: ModelConfig) -> Loaded:
    """The model and tokenizer that `config` names. Weights come from safetensors only, and all of
    them must be there.

    Raises:
        EmoexpError: a setting that is unknown or does not go with another, a checkpoint that cannot
            be had, or too little memory.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_settings(config)
    common, what = source(config), named(config)
    checkpoint = read_checkpoint(config, common)
    dtype, device = resolve_dtype(config, checkpoint), resolve_device(config)
    options = (
        quantization_options(config, checkpoint, dtype)
        | placement_options(config, checkpoint, device)
        | attention_options(config)
    )
    memory = estimate_memory(config, checkpoint, dtype, device)
    if os.environ.get("RANK", "0") == "0":
        sys.stderr.write(memory.line + "\n")
    if config.check_memory:
        refuse_unless_it_fits(memory)
    # A hub bot would otherwise convert pickles and load its own branch in place of the revision
    # asked for.
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    with explained(what):
        tokenizer = AutoTokenizer.from_pretrained(**common)
    with explained(
        what if config.attention is None else f"{what} with model.attention={config.attention!r}"
    ):
        network, report = AutoModelForCausalLM.from_pretrained(
            **common, dtype=DTYPES[dtype], use_safetensors=True, output_loading_info=True, **options
        )
    refuse_missing(report, what)
    inputs = device_of_inputs(network)
    return Loaded(
        network=network.eval(),
        tokenizer=padded(tokenizer, what),
        dtype=dtype,
        device=inputs,
        placement=describe_placement(config, network, inputs),
        commit=getattr(common["revision"], "resolved", None),
        memory=memory,
    )


def load_remote(config: ModelConfig) -> Remote:
    """The model of `config` for NDIF: its modules on the meta device; only config and tokenizer are
    fetched.

    Raises:
        EmoexpError: no key, a setting that NDIF decides, or a checkpoint that cannot be had.
    """
    from nnsight import CONFIG
    from nnsight.modeling.transformers import TransformersModel
    from transformers import AutoTokenizer

    check_settings(config)
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
    if config.repo_id.startswith("bundled:") or Path(config.repo_id).exists():
        raise EmoexpError(
            f"model.remote=true: {named(config)} is on this machine; NDIF has models of the hub"
            " only"
        )
    common = source(config)
    dtype = resolve_dtype(config, read_checkpoint(config, common))
    options = {
        "dtype": DTYPES[dtype],
        "trust_remote_code": config.trust_remote_code,
    } | attention_options(config)
    with explained(named(config)):
        tokenizer = AutoTokenizer.from_pretrained(**common)
        # The tokenizer is given because nnsight 0.8.1 does not find it by itself in transformers
        # 5.23 when it loads no weights.
        traced = TransformersModel(
            config.repo_id,
            revision=config.revision,
            tokenizer=tokenizer,
            task="text-generation",
            **options,
        )
    return Remote(traced, padded(tokenizer, named(config)), dtype)


def estimate(config: ModelConfig) -> Memory:
    """What the model of `config` needs and what there is; reads its config.json, loads nothing."""
    check_settings(config)
    checkpoint = read_checkpoint(config, source(config))
    return estimate_memory(
        config, checkpoint, resolve_dtype(config, checkpoint), resolve_device(config)
    )


def resolve_repo(config: ModelConfig) -> str:
    """A hub id or folder; `bundled:<name>` becomes the folder it ships in, and `~` the home
    directory."""
    if not config.repo_id.startswith("bundled:"):
        return (
            str(Path(config.repo_id).expanduser())
            if config.repo_id.startswith("~")
            else config.repo_id
        )
    name = config.repo_id.removeprefix("bundled:")
    if not (BUNDLED / name / "config.json").exists():
        shipped = sorted(p.parent.name for p in BUNDLED.glob("*/config.json"))
        raise EmoexpError(
            f"there is no bundled model {name!r}: choose from {', '.join(shipped) or 'none'}"
        )
    return str(BUNDLED / name)


def named(config: ModelConfig) -> str:
    """How messages name the model."""
    return f"model.repo_id={config.repo_id!r}" + (
        f" (model.revision={config.revision!r})" if config.revision else ""
    )


def source(config: ModelConfig) -> dict[str, Any]:
    """What every from_pretrained is told. A branch is looked up once, so that config, tokenizer and
    weights are of one commit; where that fails, the revision stays as it is and the first
    from_pretrained says why."""
    from transformers.utils.hub import resolve_revision

    repo = resolve_repo(config)
    return {
        "pretrained_model_name_or_path": repo,
        "revision": resolve_revision(repo, config.revision or "main"),
        "trust_remote_code": config.trust_remote_code,
    }


def read_checkpoint(config: ModelConfig, common: dict[str, Any]) -> Any:
    """The checkpoint's own config (transformers'), after a look at the folder if it is one;
    `common` is its `source`."""
    from transformers import AutoConfig

    repo, what = common["pretrained_model_name_or_path"], named(config)
    folder = Path(repo)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise EmoexpError(
                f"{what} has no config.json: give the folder that save_pretrained wrote"
            )
        if (
            not config.remote
            and not any(folder.glob("*.safetensors"))
            and any(folder.glob("*.bin"))
        ):
            raise EmoexpError(f"{what} {CONVERT}")
    elif folder.is_absolute() or repo.startswith(".") or repo.count("/") > 1:
        raise EmoexpError(
            f"{what} is not a folder, nor an id of the hub (owner/name): give one or the other"
        )
    with explained(what):
        return AutoConfig.from_pretrained(**common)


def check_settings(config: ModelConfig) -> None:
    """Raises EmoexpError, one line, for settings that are unknown here or that exclude one another.
    Reads no file."""
    if config.dtype not in (*DTYPES, "auto"):
        raise EmoexpError(
            f"model.dtype={config.dtype!r} is unknown: choose from {', '.join(DTYPES)}, auto"
        )
    if config.device_map not in (*DEVICE_MAPS, None):
        raise EmoexpError(
            f"model.device_map={config.device_map!r} is unknown: choose from"
            f" {', '.join(DEVICE_MAPS)}, null"
        )
    sharding = (
        f"model.device_map={config.device_map}"
        if config.device_map
        else "model.tensor_parallel=true"
        if config.tensor_parallel
        else None
    )
    if sharding and config.device != "auto":
        raise EmoexpError(
            f"{sharding} chooses the devices itself: leave model.device={config.device!r} out"
        )
    if config.tensor_parallel:
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
    if (
        config.quantization is not Quantization.none
        and importlib.util.find_spec("bitsandbytes") is None
    ):
        raise EmoexpError(
            f"model.quantization={config.quantization.value} needs bitsandbytes: pip install"
            " 'emoexp[quantization]'"
        )
    if config.attention is not None and "/" not in config.attention:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

        allowed = [
            "eager",
            *(k for k in ALL_ATTENTION_FUNCTIONS.valid_keys() if "|" not in k and k != "eager"),
        ]
        if config.attention not in allowed:
            raise EmoexpError(
                f"model.attention={config.attention!r} is unknown: choose from"
                f" {', '.join(allowed)}, or null for transformers' choice"
            )


def resolve_dtype(config: ModelConfig, checkpoint: Any) -> str:
    """The dtype's name; `auto` is the checkpoint's own, and float32 where it names none."""
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
    """The device's name; `auto` is the first GPU if there is one, else the CPU (never mps: it has
    no float64, and was not tried)."""
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = config.device.partition(":")
    here = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in here or (index and (kind != "cuda" or not index.isdigit())):
        raise EmoexpError(
            f"model.device={config.device!r} is unknown: choose from cpu, cuda, cuda:N, mps, auto"
        )
    if int(index or 0) >= here[kind]:
        raise EmoexpError(
            f"model.device={config.device!r} is not on this machine ({here['cuda']} GPU(s)): choose"
            " model.device=auto or cpu"
        )
    return config.device


def quantization_options(config: ModelConfig, checkpoint: Any, dtype: str) -> dict[str, Any]:
    """bitsandbytes' settings: int8, or nf4 without double quantization, computing in `dtype`."""
    if config.quantization is Quantization.none:
        return {}
    from transformers import BitsAndBytesConfig

    if getattr(checkpoint, "quantization_config", None):
        raise EmoexpError(
            f"{named(config)} is quantized already: leave"
            f" model.quantization={config.quantization.value} out"
        )
    logging.getLogger("bitsandbytes").setLevel(
        logging.ERROR
    )  # it reports the cast to float16 at every matrix product
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
    """Where from_pretrained puts the weights; straight onto the device, so that no copy passes
    through the CPU's memory."""
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
    return {} if config.attention is None else {"attn_implementation": config.attention}


def refuse_missing(report: dict[str, Any], what: str) -> None:
    """transformers fills weights that a checkpoint lacks with random numbers; here that is an
    error."""
    if missing := sorted(report["missing_keys"]):
        raise EmoexpError(
            f"{what} lacks {len(missing)} weight(s) that its config.json asks for ({missing[0]},"
            " ...): fetch it again, or mend config.json"
        )


def padded(tokenizer: Any, what: str) -> Any:
    """The tokenizer, which pads with its end token if it has no token for it."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise EmoexpError(
                f"{what} has a tokenizer without pad and end token: set pad_token in its"
                " tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def device_of_inputs(network: Any) -> torch.device:
    """Where token ids go: the device that runs the embedding, even when its weights are offloaded
    to disk."""
    embedding = network.get_input_embeddings()
    hook = getattr(embedding, "_hf_hook", None)
    if (device := getattr(hook, "execution_device", None)) is not None:
        return torch.device(device)
    return torch.device(embedding.weight.device)


def describe_placement(config: ModelConfig, network: Any, inputs: torch.device) -> str:
    """Where the weights are, for people: `cpu`, `cuda:0`, `cuda:0 (20 modules), cpu (14 modules)`,
    `2 processes on cpu`."""
    if config.tensor_parallel:
        return f"{os.environ['WORLD_SIZE']} processes on {inputs.type}"
    placed = [
        str(d) if isinstance(d, str) else str(torch.device(d))
        for d in (getattr(network, "hf_device_map", None) or {}).values()
    ]
    return (
        ", ".join(f"{d} ({placed.count(d)} modules)" for d in dict.fromkeys(placed))
        if len(set(placed)) > 1
        else str(inputs)
    )
