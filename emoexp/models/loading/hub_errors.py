"""Errors of the hub, of a checkpoint or of a remote server as one line that never shows an access
token."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from emoexp.errors import EmoexpError, chain

CONVERT = (
    "has no safetensors weights, and pickles (pytorch_model.bin) are not loaded: convert them where"
    " you trust them, AutoModelForCausalLM.from_pretrained(ID).save_pretrained(FOLDER) and the same"
    " for AutoTokenizer, then give that folder"
)
UNREACHED = (
    "cannot be reached: no connection to {endpoint}, and nothing in the cache: check the network"
    " and HTTPS_PROXY, or give a folder"
)
KINDS = (
    (
        "GatedRepoError",
        "is gated: ask for access on its page at {endpoint}, then log in as the one who got it"
        " (hf auth login, or HF_TOKEN)",
    ),
    (
        "RevisionNotFoundError",
        "has no such revision: give a branch, a tag or a commit of it",
    ),
    (
        "RepositoryNotFoundError",
        "is not on {endpoint}, or is private: check the id, or log in as one who may read it"
        " (hf auth login, or HF_TOKEN)",
    ),
    (
        "HTTP 401",
        "is refused because your token is not valid: renew it (hf auth login, or HF_TOKEN), or"
        " unset it for a public repository",
    ),
    (
        "OfflineModeIsEnabled",
        "is not in the cache ({cache}) and HF_HUB_OFFLINE is set: unset it, or fetch it where there"
        " is a network (hf download ID)",
    ),
    ("RemoteEntryNotFoundError", "lacks a file that it should have: check the id"),
    ("HTTP", "is refused by {endpoint} (HTTP {status}): try again later, or give a folder"),
    ("ConnectError", UNREACHED),
    ("ConnectTimeout", UNREACHED),
    ("ReadTimeout", UNREACHED),
    ("LocalEntryNotFoundError", UNREACHED),
    ("SafetensorError", "has a weights file that is not whole ({weights}): fetch it again"),
)
"""(class of an error of the hub, of the connection or of a weights file, or the HTTP status that
the hub answered with; why the model cannot be loaded). The order matters: a gated repository is
also a missing one."""
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
    errors = chain(error)
    if (reason := _reason(errors)) is not None:
        return f"{what} {reason}"
    said = any(isinstance(e, OSError | ImportError) for e in errors)
    advice = "" if said else ": fetch it again, or mend its config.json"
    return f"{what} could not be loaded: {_quote(errors)}{advice}"


def redact(text: str) -> str:
    """Returns `text` with everything replaced that is, or looks like, an access token."""
    from huggingface_hub import get_token

    for secret in (get_token(), os.environ.get("NDIF_API_KEY")):
        if secret:
            text = text.replace(secret, "<token>")
    text = re.sub(r"(?i)(bearer\s+)\S+", r"\1<token>", text)
    return re.sub(r"hf_[A-Za-z0-9]{4,}", "<token>", text)


def _kinds(error: BaseException) -> list[str]:
    """Returns the names of an error's class and of those that it is derived from."""
    return [kind.__name__ for kind in type(error).__mro__]


def _reason(errors: list[BaseException]) -> str | None:
    """Returns the reason for the first of `KINDS` that an error is of, else for the first of
    `PHRASES` that a message contains; None if there is none."""
    import transformers
    from huggingface_hub import constants

    names = {name for error in errors for name in _kinds(error)}
    if constants.HF_HUB_OFFLINE and "LocalEntryNotFoundError" in names:
        names.add("OfflineModeIsEnabled")
    refusals = (getattr(e, "response", None) for e in errors if "HfHubHTTPError" in _kinds(e))
    status = next((getattr(answer, "status_code", None) for answer in refusals), None)
    names |= set() if status is None else {"HTTP", f"HTTP {status}"}
    messages = " ".join(map(str, errors))
    reasons = [reason for kind, reason in KINDS if kind in names]
    reasons += [reason for phrase, reason in PHRASES if phrase in messages]
    weights = next((str(e) for e in errors if type(e).__name__ == "SafetensorError"), "")
    facts = {
        "endpoint": constants.ENDPOINT,
        "cache": constants.HF_HUB_CACHE,
        "status": status,
        "weights": redact(weights),
        "transformers": transformers.__version__,
    }
    return reasons[0].format(**facts) if reasons else None


def _quote(errors: list[BaseException]) -> str:
    """Returns the kind of the error and the first line of the first message that has one; two lines
    where the first announces the second."""
    lines = [line.strip() for e in errors for line in str(e).splitlines() if line.strip()]
    said = " ".join(lines[: 2 if lines[:1] and lines[0].endswith(":") else 1])
    return redact(": ".join(filter(None, (type(errors[0]).__name__, said))))
