"""What a hub, a checkpoint or a remote server refuses, said in one line that never holds a
token."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from emoexp.errors import EmoexpError

CONVERT = (
    "has no safetensors weights, and pickles (pytorch_model.bin) are not loaded: convert them where"
    " you trust them, AutoModelForCausalLM.from_pretrained(ID).save_pretrained(FOLDER) and the same"
    " for AutoTokenizer, then give that folder"
)
PHRASES = (
    (
        "does not recognize this architecture",
        (
            "is of a model_type that transformers {transformers} does not know: pip install"
            " --upgrade transformers"
        ),
    ),
    (
        "`model_type` key in its config.json",
        "has no config.json that names a model_type: it is not a transformers checkpoint",
    ),
    ("is not a valid JSON file", "has a config.json that is not JSON: fetch it again"),
    (
        "contains custom code which must be executed",
        "brings Python code of its own: read that code, then set model.trust_remote_code=true",
    ),
    (
        "for this kind of AutoModel",
        "is not a causal language model: choose one that transformers' AutoModelForCausalLM loads",
    ),
    ("thus cannot be loaded with `safetensors`", CONVERT),
    ("Error no file named model.safetensors", CONVERT),
    (
        "Couldn't instantiate the backend tokenizer",
        (
            "has no tokenizer that can be built: it needs a tokenizer.json (or pip install"
            " sentencepiece tiktoken)"
        ),
    ),
    ("does not appear to have a file named", "lacks a file that it should have: fetch it again"),
    (
        "ignore_mismatched_sizes",
        (
            "has weights of other shapes than its config.json says: fetch it again, or mend"
            " config.json"
        ),
    ),
    (
        "Connection refused",
        "cannot be reached (connection refused): check the network and the address",
    ),
    (
        "out of memory",
        (
            "does not fit into memory: set model.quantization=nf4, model.device_map=auto or a"
            " smaller model.batch_tokens"
        ),
    ),
)
"""Messages of transformers that have no exception class of their own."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns whatever third-party code inside raises into an EmoexpError of one line that starts
    with `what`. Keep the block to calls of that code: a bug of our own would look like a mistake
    of the user's."""
    try:
        yield
    except EmoexpError:
        raise
    except Exception as error:
        raise EmoexpError(one_line(error, what)) from error


def one_line(error: BaseException, what: str) -> str:
    """`what` (the setting and its value) and why it cannot be had. Known causes say what to do;
    others are quoted, tokens blotted out."""
    chain = _chain(error)
    return (
        f"{what} {_hub_reason(chain) or _phrase(chain) or 'could not be loaded: ' + _quote(chain)}"
    )


def redact(text: str) -> str:
    """`text` without anything that is, or looks like, a token."""
    from huggingface_hub import get_token

    for secret in (get_token(), os.environ.get("NDIF_API_KEY")):
        if secret:
            text = text.replace(secret, "<token>")
    return re.sub(
        r"hf_[A-Za-z0-9]{4,}", "<token>", re.sub(r"(?i)(bearer\s+)\S+", r"\1<token>", text)
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error, then its causes."""
    found = [error]
    while (
        cause := found[-1].__cause__ or found[-1].__context__
    ) is not None and cause not in found:
        found.append(cause)
    return found


def _hub_reason(chain: list[BaseException]) -> str | None:
    """What the hub, or the way to it, says; None if the chain holds nothing of theirs. Order
    matters: a gated repository is also a missing one."""
    from huggingface_hub import constants
    from huggingface_hub import errors as hub
    from safetensors import SafetensorError

    def first(*kinds: type[BaseException]) -> BaseException | None:
        return next((e for e in chain if isinstance(e, kinds)), None)

    status = getattr(getattr(first(hub.HfHubHTTPError), "response", None), "status_code", None)
    if first(hub.GatedRepoError):
        return (
            f"is gated: ask for access on its page at {constants.ENDPOINT}, then log in as the one"
            " who got it (hf auth login, or HF_TOKEN)"
        )
    if first(hub.RevisionNotFoundError):
        return "has no such revision: give a branch, a tag or a commit of it"
    if first(hub.RepositoryNotFoundError):
        return (
            f"is not on {constants.ENDPOINT}, or is private: check the id, or log in as one who may"
            " read it (hf auth login, or HF_TOKEN)"
        )
    if status == 401:
        return (
            "is refused because your token is not valid: renew it (hf auth login, or HF_TOKEN), or"
            " unset it for a public repository"
        )
    if first(hub.OfflineModeIsEnabled) or (
        first(hub.LocalEntryNotFoundError) and constants.HF_HUB_OFFLINE
    ):
        return (
            f"is not in the cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is set: unset it,"
            " or fetch it where there is a network (hf download ID)"
        )
    if first(hub.RemoteEntryNotFoundError):
        return "lacks a file that it should have: check the id"
    if status is not None:
        return (
            f"is refused by {constants.ENDPOINT} (HTTP {status}): try again later, or give a folder"
        )
    if first(hub.LocalEntryNotFoundError) or any(
        type(e).__name__ in ("ConnectError", "ConnectTimeout", "ReadTimeout") for e in chain
    ):
        return (
            f"cannot be reached: no connection to {constants.ENDPOINT}, and nothing in the cache:"
            " check the network and HTTPS_PROXY, or give a folder"
        )
    if found := first(SafetensorError):
        return (
            f"has a weights file that is not whole ({redact(str(found))}): delete it and fetch it"
            " again"
        )
    return None


def _phrase(chain: list[BaseException]) -> str | None:
    import transformers

    texts = " ".join(str(e) for e in chain)
    return next(
        (
            reason.replace("{transformers}", transformers.__version__)
            for phrase, reason in PHRASES
            if phrase in texts
        ),
        None,
    )


def _quote(chain: list[BaseException]) -> str:
    """The first line of the first message that has one."""
    lines = [line.strip() for e in chain for line in str(e).splitlines() if line.strip()]
    return redact(f"{type(chain[0]).__name__}: {lines[0]}" if lines else type(chain[0]).__name__)
