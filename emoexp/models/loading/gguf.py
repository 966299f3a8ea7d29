"""Checkpoints that are one GGUF file: where the file is, how it is quantized, its own vocabulary.
transformers reads the weights and dequantizes them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from emoexp.config import ModelConfig
from emoexp.errors import EmoexpError
from emoexp.models.loading.hub_errors import explained


def locate(config: ModelConfig, repo: str) -> tuple[str, str | None]:
    """Returns the repository and the name of its GGUF file; None for a checkpoint of another kind.

    Args:
        repo: a hub id, a folder or a GGUF file; a folder that has a config.json is not GGUF unless
            `model.gguf_file` says so.

    Raises:
        EmoexpError: there is no such file, or a folder has several and none is named.
    """
    path, named = Path(repo), config.gguf_file
    if path.suffix == ".gguf":
        if not path.is_file():
            raise EmoexpError(f"model.repo_id={config.repo_id!r} does not exist: give a GGUF file")
        if named not in (None, path.name):
            raise EmoexpError(
                f"model.repo_id={config.repo_id!r} is a GGUF file already: leave"
                f" model.gguf_file={named!r} out"
            )
        return str(path.parent), path.name
    if not path.is_dir():
        return repo, named
    there = sorted(file.name for file in path.glob("*.gguf"))
    if named is not None and named not in there:
        raise EmoexpError(
            f"model.gguf_file={named!r} is not in model.repo_id={config.repo_id!r}: it has"
            f" {', '.join(there) or 'no GGUF file'}"
        )
    if named is None and there and not (path / "config.json").exists():
        if len(there) > 1:
            raise EmoexpError(
                f"model.repo_id={config.repo_id!r} has {len(there)} GGUF files"
                f" ({', '.join(there)}): choose one with model.gguf_file="
            )
        return repo, there[0]
    return repo, named


def local_file(common: dict[str, Any], name: str) -> Path | None:
    """Returns the file of that name of the checkpoint that the arguments of from_pretrained name,
    on this machine, from the hub's cache if it is there; None if the checkpoint has none."""
    repo = Path(common["pretrained_model_name_or_path"])
    if repo.is_dir():
        return repo / name if (repo / name).exists() else None
    from transformers.utils import cached_file

    settings = {"revision": common["revision"], "_raise_exceptions_for_missing_entries": False}
    found = cached_file(str(repo), name, **settings)
    return None if found is None else Path(found)


def file_of(common: dict[str, Any]) -> Path | None:
    """Returns the `local_file` of a checkpoint that is one GGUF file; None for another kind."""
    return local_file(common, common["gguf_file"]) if "gguf_file" in common else None


@lru_cache(maxsize=1)
def _reader(path: Path) -> Any:
    """Opens a GGUF file, whose fields take seconds to read. Raises EmoexpError for another file."""
    from gguf import GGUFReader

    with explained(str(path)):
        _check_header(path)
        return GGUFReader(path)


SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by its type in the file; 8 is a text and 9 an array."""
TEXT, ARRAY = 8, 9


def _check_header(path: Path) -> None:
    """Checks that what the header counts lies within the file: gguf's reader believes the counts,
    and reads on without an end.

    Raises:
        ValueError: a count or a length goes beyond the end of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(8)
        order: Literal["big", "little"] = "big" if magic[4:6] == b"\0\0" else "little"
        if magic[:4] != b"GGUF":
            raise ValueError("GGUF magic invalid")

        def number(width: int = 8) -> int:
            return int.from_bytes(file.read(width), order)

        def skip(n: int, width: int = 1) -> None:
            if n * width > size - file.tell():
                raise ValueError("GGUF magic invalid: the header goes beyond the end of the file")
            file.seek(n * width, 1)

        def skip_value(kind: int) -> None:
            if kind == TEXT:
                skip(number())
            elif kind != ARRAY:
                skip(1, SIZES.get(kind, 1))
            elif (kind := number(4)) in (TEXT, ARRAY):
                for _ in range(number()):
                    skip_value(kind)
            else:
                skip(number(), SIZES.get(kind, 1))

        number()  # of the tensors
        for _ in range(number()):
            skip(number())
            skip_value(number(4))


def check_whole(path: Path) -> None:
    """Raises EmoexpError where a file is not a whole GGUF file."""
    _reader(path)


def read_field(path: Path, field: str) -> Any:
    """Reads one field of a GGUF file; None where it has none."""
    found = _reader(path).get_field(field)
    return None if found is None else found.contents()


def quantization_of(path: Path) -> str:
    """Returns the quantization that a GGUF file says it has, such as `gguf Q4_1`."""
    from gguf import LlamaFileType

    number = read_field(path, "general.file_type")
    known = {kind.value: kind.name for kind in LlamaFileType}
    return "gguf " + known.get(number, "of an unnamed type").removeprefix("MOSTLY_")


def check_vocabulary(tokenizer: Any, path: Path) -> None:
    """Checks that token i of the tokenizer is token i of the GGUF file.

    Raises:
        EmoexpError: a token differs; the message names the first.
    """
    tokens = read_field(path, "tokenizer.ggml.tokens") or []
    ours = tokenizer.convert_ids_to_tokens(list(range(len(tokens))))
    for i, (token, own) in enumerate(zip(tokens, ours, strict=True)):
        # a file pads its vocabulary to the width of the embedding with tokens of no text, and
        # writes runs of spaces as spaces, which transformers reads as SentencePiece writes them
        padding = own is None and token.startswith("[PAD")
        if not padding and (own or "").replace("\u2581", " ") != token.replace("\u2581", " "):
            raise EmoexpError(
                f"{path}: transformers reads token {i} of its vocabulary as {own!r}, and the file"
                f" has {token!r}: use the safetensors checkpoint of this model"
            )
