"""Loading a tokenizer, and checking that it splits text as its own file says.

transformers may build another tokenizer than tokenizer.json describes: in version 5, the class that
tokenizer_config.json names replaces the pre-tokenizer, so that digits are merged that the file
splits. The numbers of V5 and V6 depend on that."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from emoexp.config import ModelConfig, PromptFormat
from emoexp.errors import EmoexpError
from emoexp.models.chat import first_difference, render
from emoexp.models.loading.gguf import check_vocabulary, file_of, local_file
from emoexp.models.loading.hub_errors import explained

PROBE = "It's 16000 dollars,  12.5 km;\n\nthey'd say \"naïve café\"\n\t7x9\n  Ünder 東京 -- OK?"
"""Text with all that tokenizers differ on: digits, double spaces, line breaks, apostrophes,
accents."""
NAME = "tokenizer.json"


def load_tokenizer(config: ModelConfig, common: dict[str, Any], what: str) -> Any:
    """Loads the tokenizer, with a pad token.

    Args:
        common: the arguments of from_pretrained.
        what: how messages name the model.

    Raises:
        EmoexpError: it cannot be loaded, has no pad token, or does not split as its file says.
    """
    from transformers import AutoTokenizer

    with explained(what):
        tokenizer = AutoTokenizer.from_pretrained(**common)
    if (gguf := file_of(common)) is not None:
        check_vocabulary(tokenizer, gguf)
    elif (file := local_file(common, NAME)) is not None:
        tokenizer = _as_in_file(tokenizer, file, common, what)
    return padded(tokenizer, what)


def _as_in_file(tokenizer: Any, path: Path, common: dict[str, Any], what: str) -> Any:
    """Returns the tokenizer, or one built from the file as it is, where the first one differs.

    Raises:
        EmoexpError: both split the probe text in another way than the file.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    with explained(what):
        wanted = Tokenizer.from_file(str(path)).encode(PROBE, add_special_tokens=False)
        found = _ids(tokenizer)
    if found == wanted.ids:
        return tokenizer
    with explained(what):
        same = PreTrainedTokenizerFast.from_pretrained(**common, tokenizer_file=str(path))
    difference = _difference(tokenizer, wanted)
    if _ids(same) != wanted.ids:
        raise EmoexpError(
            f"{what}: transformers reads its {NAME} as another tokenizer ({difference}): set"
            " tokenizer_class to PreTrainedTokenizerFast in its tokenizer_config.json"
        )
    sys.stderr.write(
        f"{what}: {type(tokenizer).__name__} of transformers splits text in another way than its"
        f" {NAME} ({difference}); the file is used as it is\n"
    )
    return same


def _ids(tokenizer: Any) -> list[int]:
    """Returns the ids of the probe text without special tokens."""
    ids: list[int] = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    return ids


def _difference(tokenizer: Any, wanted: Any) -> str:
    """Describes the first token of the probe text that differs."""
    ours = tokenizer.convert_ids_to_tokens(_ids(tokenizer))
    i = first_difference(ours, wanted.tokens)
    return f"{'|'.join(ours[i : i + 4])} where the file has {'|'.join(wanted.tokens[i : i + 4])}"


def padded(tokenizer: Any, what: str) -> Any:
    """Returns the tokenizer with a pad token: its end token if it has none of its own.

    Raises:
        EmoexpError: it has neither.
    """
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise EmoexpError(
                f"{what} has a tokenizer without pad and end token: set pad_token in its"
                " tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def bos_of(tokenizer: Any, style: PromptFormat) -> str:
    """Returns who puts the BOS token before a prompt: `tokenizer`, `template` or `nobody`; `none`
    where the tokenizer names no BOS.

    A model that was trained with a BOS and reads none gives other activations.
    """
    if tokenizer.bos_token is None:
        return "none"
    if style is PromptFormat.chat:
        return "template" if render(tokenizer, "x").startswith(tokenizer.bos_token) else "nobody"
    ids = tokenizer("x")["input_ids"]
    return "tokenizer" if ids[:1] == [tokenizer.bos_token_id] else "nobody"
