"""Artifacts: values that are computed once and stored. They are keyed by content, written whole or
not at all, and computed by one job at a time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psutil
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from emoexp.errors import EmoexpError, number_of
from emoexp.store.distributed import barrier, broadcast, rank
from emoexp.store.locks import locked
from emoexp.store.progress import track
from emoexp.store.provenance import versions

Row = dict[str, np.ndarray]
LONGEST_NAME = 200
"""Characters of a row's name; file systems take 255 bytes, and a suffix is added."""


def key_of(identity: Mapping[str, Any] | Sequence[str]) -> str:
    """Returns sixteen hex digits of the sha256 of the canonical JSON of an identity, or of texts in
    their order."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def with_library(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an identity with the version of transformers, whose code of an architecture decides
    its numbers and changes from version to version. Other libraries change the last bits."""
    return {**identity, "transformers": versions()["transformers"]}


DIGITS = 6
"""Digits of a key's numbers, counted from the largest number. Threads change about the sixteenth
digit, and one number in 10^9 is so near to the edge of a rounding that this matters."""


def array_key(array: np.ndarray) -> str:
    """Returns the sha256 of an array's shape and of its numbers to `DIGITS` digits of the largest.

    The last bits of a sum depend on the number of threads, so a key of the raw bytes would miss
    what another machine has stored.

    Raises:
        EmoexpError: a number is not finite in float32, in which the model would add it.
    """
    values = np.asarray(array, dtype=np.float64)
    if not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise EmoexpError(
            "what would be added to the residual stream is NaN or too large for float32: choose a"
            " smaller strength"
        )
    largest = float(np.abs(values).max(initial=0.0))
    # a power of ten, so that noise in the largest number itself changes nothing
    scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(largest))) if largest > 0 else 1.0
    if largest > 0 and np.floor(np.log10(largest)) != np.floor(np.log10(largest * (1 + 1e-9))):
        scale /= 10.0
    rounded = np.rint(values * scale).astype(np.int64)
    return hashlib.sha256(repr(values.shape).encode() + rounded.tobytes()).hexdigest()


def file_name(label: str) -> str:
    """Returns a label as the name of a file or folder.

    What is not allowed there is percent-encoded, also the dots of "." and "..", which are folders;
    the end of a name that would be too long for a file system is replaced by its hash.
    """
    name = quote(label, safe=" ")
    if not label.strip("."):
        name = name.replace(".", "%2E")
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 17]}-{hashlib.sha256(label.encode()).hexdigest()[:16]}"


def clear(folder: Path, pattern: str = ".*.tmp") -> None:
    """Removes what `replacing` has left half-written in a folder, which must be locked: a process
    that is killed cannot. What a live process writes (figures, after the lock is free) stays."""
    for path in folder.glob(pattern):
        writer = path.name.split(".")[-2]
        if not (writer.isdigit() and psutil.pid_exists(int(writer))):
            path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, which is renamed to it when the block ends without an
    error.

    Every file of emoexp is written like this, so that a reader never sees half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all (`replacing`)."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file whole or not at all, keys sorted; NaN raises ValueError."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_tensors(path: Path, tensors: Row, metadata: Mapping[str, str]) -> None:
    """Writes a safetensors file whole or not at all (`replacing`)."""
    with replacing(path) as temporary:
        arrays = {k: np.asarray(v, order="C") for k, v in tensors.items()}
        temporary.touch()
        mode = temporary.stat().st_mode  # the umask's; safetensors writes for the owner alone
        try:
            save_file(arrays, temporary, metadata=dict(metadata))
        except SafetensorError as error:
            if number := number_of(error):
                raise OSError(number, os.strerror(number), str(path)) from error
            raise
        temporary.chmod(mode)


@contextmanager
def opened(path: Path, advice: str = "delete it and run again") -> Iterator[Any]:
    """Opens a safetensors file to read from; `advice` says what to do about one that is broken.

    Raises:
        EmoexpError: the file is missing, cut short, not safetensors, or lacks what is asked of it.
    """
    try:
        path.open("rb").close()  # safetensors says of each error here that there is no such file
        with safe_open(path, "np") as handle:
            yield handle
    except FileNotFoundError as error:
        raise EmoexpError(f"{path} does not exist") from error
    except PermissionError as error:
        raise EmoexpError(
            f"{path} may not be read (permission): ask its owner for chmod a+r, or give another"
            " path"
        ) from error
    except (SafetensorError, OSError, AttributeError, TypeError) as error:
        # numpy has no bfloat16 and no float8, and says so by an AttributeError or a TypeError
        raise EmoexpError(f"{path} is not a whole safetensors file ({error}): {advice}") from error


def read_tensors(
    path: Path, names: Sequence[str] | None = None, advice: str = "delete it and run again"
) -> tuple[Row, dict[str, str]]:
    """Reads the tensors (only those of `names`, if given) and the metadata of a safetensors file.
    Raises as `opened` does."""
    with opened(path, advice) as handle:
        tensors = {name: handle.get_tensor(name) for name in names or handle.keys()}
        return tensors, dict(handle.metadata() or {})


def read_layer(path: Path, name: str, layer: int) -> np.ndarray:
    """Reads one layer of a tensor (x, layer, ...), without the others; returns (x, ...). Raises as
    `opened` does."""
    with opened(path) as handle:
        return np.asarray(handle.get_slice(name)[:, layer])


@dataclass(frozen=True)
class Artifacts:
    """The store of artifacts. An artifact is a folder `<kind>/<key>` with `identity.json` and one
    file per row."""

    root: Path

    def folder(self, kind: str, identity: Mapping[str, Any]) -> Path:
        """Returns the folder of an artifact."""
        return self.root / kind / key_of(with_library(identity))

    def path(self, kind: str, identity: Mapping[str, Any], label: str) -> Path:
        """Returns the file of one row (`file_name` of its label)."""
        return self.folder(kind, identity) / f"{file_name(label)}.safetensors"

    def rows(
        self,
        kind: str,
        identity: Mapping[str, Any],
        labels: Sequence[str],
        compute: Callable[[str], Row],
        title: str | None,
        *,
        names: Sequence[str] | None = None,
    ) -> list[Row]:
        """Reads the rows of an artifact in the order of `labels`; computes those that are missing.

        A killed run loses the row that it was computing and no other. `identity` must contain all
        that changes the values and nothing that does not. A second job waits for the first and then
        reads. `title` is shown with the progress; None shows none. `names` are the tensors to read
        of each row; None is all.
        """
        paths = {label: self.path(kind, identity, label) for label in labels}
        if broadcast(not all(path.exists() for path in paths.values())):
            folder = self.folder(kind, identity)
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder / ".lock") if rank() == 0 else nullcontext():
                if rank() == 0:
                    clear(folder)
                    write_json(folder / "identity.json", with_library(identity))
                missing = broadcast([label for label in labels if not paths[label].exists()])
                shown = track(missing, title) if missing and title else missing
                for label in shown:
                    row = compute(label)
                    if rank() == 0:
                        write_tensors(paths[label], row, {"kind": kind, "row": label})
            barrier()
        return [read_tensors(paths[label], names)[0] for label in labels]
