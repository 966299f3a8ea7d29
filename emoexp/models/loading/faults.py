"""What may be wrong with a checkpoint: its files before they are read, and its weights after."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from safetensors import safe_open

from emoexp.errors import EmoexpError

FLOATS = ("F64", "F32", "F16", "BF16")
"""The types of weights that are not quantized, as safetensors names them."""
SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""The JSON files of a checkpoint that transformers reads."""


def refuse_json(folder: Path, what: str) -> None:
    """Raises EmoexpError where a file of settings in a checkpoint's folder is not a JSON object."""
    for path in (folder / name for name in SETTINGS if (folder / name).exists()):
        try:
            is_object = isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
        except (OSError, ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise EmoexpError(f"{what} has a {path.name} that is no JSON object: fetch it again")


def refuse_index(folder: Path, what: str) -> None:
    """Raises EmoexpError where the index of a checkpoint in several files cannot be read, or names
    a file that is missing or not in the folder (its content would be in no key of a result)."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").exists() or not index.exists():
        return
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = [name for name in names if Path(name).name != name]
        lacking = [name for name in names if not (folder / name).exists()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EmoexpError(
            f"{what} has a {index.name} that does not name its files: fetch it again"
        ) from error
    if outside:
        raise EmoexpError(
            f"{what} has a {index.name} that names a file outside the folder ({outside[0]}): put"
            " all files of the weights into it"
        )
    if lacking or not names:
        raise EmoexpError(
            f"{what} lacks {len(lacking)} of the {len(names)} files of its {index.name}"
            f" ({', '.join(lacking[:1])}): fetch it again"
        )


def refuse_integers(folder: Path, checkpoint: Any, what: str) -> None:
    """Raises EmoexpError where weights in a checkpoint's folder are integers or 8-bit floats, and
    its config.json does not say how they are quantized: they would be read without scales."""
    if getattr(checkpoint, "quantization_config", None) is not None:
        return
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in (name for name in file.keys() if name.endswith(".weight")):  # noqa: SIM118
                if (kind := file.get_slice(name).get_dtype()) not in FLOATS:
                    raise EmoexpError(
                        f"{what} has weights of type {kind} ({name}), and its config.json has no"
                        " quantization_config that says how they are read: fetch it again"
                    )


def refuse_encoder(checkpoint: Any, what: str) -> None:
    """Raises EmoexpError for the config of a model that reads text in both directions, such as
    BERT, which transformers loads as a causal language model all the same."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    kind = checkpoint.model_type
    if kind in MASKED and not getattr(checkpoint, "is_decoder", False):
        raise EmoexpError(
            f"{what} is an encoder ({kind}), whose tokens see those after them: choose a causal"
            " language model"
        )


def merge_advice(adapter: Path) -> str:
    """Returns what to do about a folder that holds an adapter (LoRA) and no model."""
    try:
        base = json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = "BASE"
    return (
        f"is an adapter (LoRA) of {base}, not a model: merge it once (pip install peft), from peft"
        " import AutoPeftModelForCausalLM as P; P.from_pretrained(FOLDER).merge_and_unload()"
        ".save_pretrained(MERGED), save the tokenizer there too, and give MERGED"
    )


def refuse_missing(report: dict[str, Any], what: str) -> None:
    """Raises EmoexpError where the checkpoint lacks weights, which transformers would fill with
    random numbers. `report` is its loading info."""
    if missing := sorted(report["missing_keys"]):
        raise EmoexpError(
            f"{what} lacks {len(missing)} weight(s) that its config.json asks for ({missing[0]},"
            " ...): fetch it again, or mend config.json"
        )


def say_unused(report: dict[str, Any], what: str) -> None:
    """Writes a line to stderr where the checkpoint has weights that are not read, as where its
    config.json names fewer blocks. `report` is its loading info."""
    if unused := sorted(report["unexpected_keys"]):
        sys.stderr.write(
            f"{what} has {len(unused)} weight(s) that its config.json does not ask for, and they"
            f" are not used ({unused[0]}, ...)\n"
        )


def refuse_not_finite(network: Any, what: str) -> None:
    """Raises EmoexpError where a weight is NaN or infinite; names the tensor. Weights that are
    offloaded, or quantized to bytes, are not looked at."""
    for name, weight in network.named_parameters():
        if weight.is_meta or not weight.is_floating_point() or weight.element_size() == 1:
            continue
        # the sum shows it in one pass, and may itself be too large for float16
        if not bool(weight.sum().isfinite()) and (n := int((~weight.isfinite()).sum())):
            raise EmoexpError(
                f"{what} has {n} of {weight.numel()} numbers in {name} that are NaN or infinite:"
                " fetch it again"
            )
