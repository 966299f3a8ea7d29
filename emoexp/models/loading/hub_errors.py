"""Errors of the hub, of a checkpoint or of a remote server as one line that never shows an access
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
        "GGUF model with architecture",
        "is a GGUF file of an architecture that transformers {transformers} does not read: use the"
        " safetensors checkpoint of this model",
    ),
    (
        "GGUF magic invalid",
        "is not a whole GGUF file: fetch it again",
    ),
    (
        "file appears to be version",  # gguf's reader
        "is not a whole GGUF file, or is of a version that gguf does not read: fetch it again",
    ),
    (
        "does not recognize this architecture",
        "is of a model_type that transformers {transformers} does not know: pip install"
        " --upgrade transformers",
    ),
    (
        "`model_type` key in its config.json",
        "has no config.json that names a model_type: it is not a transformers checkpoint",
    ),
    ("is not a valid JSON file", "has a file of settings that is not JSON: fetch it again"),
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
        "has no tokenizer that can be built: it needs a tokenizer.json (or pip install"
        " sentencepiece tiktoken)",
    ),
    ("does not appear to have a file named", "lacks a file that it should have: fetch it again"),
    (
        "ignore_mismatched_sizes",
        "has weights of other shapes than its config.json says: fetch it again, or mend"
        " config.json",
    ),
    (
        "on the Hub (OfflineModeIsEnabled)",
        "is not on this machine and HF_HUB_OFFLINE is set: unset it, or give a local copy of it",
    ),
    (
        "on the Hub (",
        "cannot be reached: check the network and HTTPS_PROXY, or give a local copy of it",
    ),
    (
        "Connection refused",
        "cannot be reached (connection refused): check the network and the address",
    ),
    (
        "out of memory",
        "does not fit into memory: set model.quantization=nf4, model.device_map=auto or a"
        " smaller model.batch_tokens",
    ),
)
"""(part of a message of transformers, what to say instead), for messages that have no exception
class of their own."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turns every exception of third-party code in the block into an EmoexpError of one line that
    starts with `what`. The block must hold only calls of that code: an error in emoexp would look
    like a mistake of the user."""
    try:
        yield
    except EmoexpError:
        raise
    except Exception as error:
        raise EmoexpError(explain(error, what)) from error


def explain(error: BaseException, what: str) -> str:
    """Returns `what` (the setting and its value) and why it cannot be loaded. For known causes the
    line says what to do; other messages are quoted, with access tokens replaced."""
    chain = _chain(error)
    reason = _hub_reason(chain) or _known_reason(chain)
    if reason is not None:
        return f"{what} {reason}"
    said = any(isinstance(e, OSError | ImportError) for e in chain)
    advice = "" if said else ": fetch it again, or mend its config.json"
    return f"{what} could not be loaded: {_quote(chain)}{advice}"


def redact(text: str) -> str:
    """Returns `text` with everything replaced that is, or looks like, an access token."""
    from huggingface_hub import get_token

    for secret in (get_token(), os.environ.get("NDIF_API_KEY")):
        if secret:
            text = text.replace(secret, "<token>")
    text = re.sub(r"(?i)(bearer\s+)\S+", r"\1<token>", text)
    return re.sub(r"hf_[A-Za-z0-9]{4,}", "<token>", text)


def _chain(error: BaseException) -> list[BaseException]:
    """Returns the error, then its causes."""
    chain = [error]
    while True:
        cause = chain[-1].__cause__ or chain[-1].__context__
        if cause is None or cause in chain:
            return chain
        chain.append(cause)


def _first(chain: list[BaseException], *kinds: type[BaseException]) -> BaseException | None:
    """Returns the first error of one of these kinds, or None."""
    return next((error for error in chain if isinstance(error, kinds)), None)


def _hub_reason(chain: list[BaseException]) -> str | None:
    """Returns why the hub, the connection to it or a weights file fails; None if the chain has no
    such error. The order matters: a gated repository is also a missing one."""
    return (
        _repository_reason(chain)
        or _token_reason(chain)
        or _cache_reason(chain)
        or _response_reason(chain)
        or _connection_reason(chain)
        or _weights_reason(chain)
    )


def _repository_reason(chain: list[BaseException]) -> str | None:
    """Returns why a repository or a revision of it is not to be had, or None."""
    from huggingface_hub import constants
    from huggingface_hub import errors as hub

    if _first(chain, hub.GatedRepoError):
        return (
            f"is gated: ask for access on its page at {constants.ENDPOINT}, then log in as the one"
            " who got it (hf auth login, or HF_TOKEN)"
        )
    if _first(chain, hub.RevisionNotFoundError):
        return "has no such revision: give a branch, a tag or a commit of it"
    if _first(chain, hub.RepositoryNotFoundError):
        return (
            f"is not on {constants.ENDPOINT}, or is private: check the id, or log in as one who may"
            " read it (hf auth login, or HF_TOKEN)"
        )
    return None


def _status(chain: list[BaseException]) -> int | None:
    """Returns the HTTP status that the hub answered with, or None."""
    from huggingface_hub.errors import HfHubHTTPError

    response = getattr(_first(chain, HfHubHTTPError), "response", None)
    return getattr(response, "status_code", None)


def _token_reason(chain: list[BaseException]) -> str | None:
    """Returns that the access token is refused, or None."""
    if _status(chain) != 401:
        return None
    return (
        "is refused because your token is not valid: renew it (hf auth login, or HF_TOKEN), or"
        " unset it for a public repository"
    )


def _cache_reason(chain: list[BaseException]) -> str | None:
    """Returns that the cache lacks the model and the hub may not be asked, or None."""
    from huggingface_hub import constants
    from huggingface_hub import errors as hub

    not_cached = _first(chain, hub.LocalEntryNotFoundError) and constants.HF_HUB_OFFLINE
    if not (_first(chain, hub.OfflineModeIsEnabled) or not_cached):
        return None
    return (
        f"is not in the cache ({constants.HF_HUB_CACHE}) and HF_HUB_OFFLINE is set: unset it,"
        " or fetch it where there is a network (hf download ID)"
    )


def _response_reason(chain: list[BaseException]) -> str | None:
    """Returns that the hub lacks a file or refuses with another status, or None."""
    from huggingface_hub import constants
    from huggingface_hub.errors import RemoteEntryNotFoundError

    if _first(chain, RemoteEntryNotFoundError):
        return "lacks a file that it should have: check the id"
    status = _status(chain)
    if status is None:
        return None
    return f"is refused by {constants.ENDPOINT} (HTTP {status}): try again later, or give a folder"


def _connection_reason(chain: list[BaseException]) -> str | None:
    """Returns that there is no connection to the hub, or None."""
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError

    names = {type(error).__name__ for error in chain}
    broken = names & {"ConnectError", "ConnectTimeout", "ReadTimeout"}
    if not (broken or _first(chain, LocalEntryNotFoundError)):
        return None
    return (
        f"cannot be reached: no connection to {constants.ENDPOINT}, and nothing in the cache:"
        " check the network and HTTPS_PROXY, or give a folder"
    )


def _weights_reason(chain: list[BaseException]) -> str | None:
    """Returns that a weights file is not whole, or None."""
    from safetensors import SafetensorError

    error = _first(chain, SafetensorError)
    if error is None:
        return None
    return f"has a weights file that is not whole ({redact(str(error))}): fetch it again"


def _known_reason(chain: list[BaseException]) -> str | None:
    """Returns the reason for the first of `PHRASES` that a message contains, or None."""
    import transformers

    messages = " ".join(str(error) for error in chain)
    for phrase, reason in PHRASES:
        if phrase in messages:
            return reason.replace("{transformers}", transformers.__version__)
    return None


def _quote(chain: list[BaseException]) -> str:
    """Returns the kind of the error and the first line of the first message that has one; two lines
    where the first announces the second."""
    lines = [line.strip() for e in chain for line in str(e).splitlines() if line.strip()]
    said = " ".join(lines[: 2 if lines[:1] and lines[0].endswith(":") else 1])
    return redact(": ".join(filter(None, (type(chain[0]).__name__, said))))
