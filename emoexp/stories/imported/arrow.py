"""Reads Parquet files, and the Arrow files of `datasets`' save_to_disk, with the names of numbered
labels, which `datasets` writes into the schema's metadata (its class ClassLabel)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoexp.errors import shortened
from emoexp.stories.imported.rows import ROLES, Reading
from emoexp.textfiles import PACKED, UnreadableError, explained, suffix_of

if TYPE_CHECKING:
    import pyarrow


def arrow(
    path: Path, reading: Reading
) -> tuple[list[str], Iterable[tuple[str, Mapping[str, Any]]]]:
    """Reads the known columns of a Parquet or Arrow file; rows count from 1."""
    with _explained(path):
        schema, batches = _opened(path)
    names = [str(name) for name in schema.names]
    usual = {name for names_of_role in ROLES.values() for name in names_of_role}
    wanted = usual | {"source"} | {name.lower() for name in reading.columns.values()}
    columns = [name for name in names if name.lower() in wanted]
    labels, where = labels_of(schema.metadata or {}), reading.name(path)

    def rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yields the rows, each with its place."""
        number = 0
        with _explained(path):
            for batch in batches(columns):
                for row in batch.to_pylist():
                    number += 1
                    named = {
                        name: _named(row[name], labels[name]) for name in labels if name in row
                    }
                    yield f"{where}, row {number}", row | named

    return names, rows()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns the errors of reading `path` into an `UnreadableError`."""
    import pyarrow

    with explained(path):
        try:
            yield
        except (pyarrow.ArrowException, NotImplementedError) as error:
            kind = "Parquet" if suffix_of(path) == ".parquet" else "Arrow"
            reason = f"not a whole {kind} file ({shortened(str(error).splitlines()[0])})"
            raise UnreadableError(path, reason) from error


def _opened(path: Path) -> tuple[pyarrow.Schema, Any]:
    """Returns the schema of a file, and a function that reads columns of it in batches."""
    import pyarrow
    from pyarrow import ipc
    from pyarrow.parquet import ParquetFile

    if path.suffix.lower() in PACKED:
        raise UnreadableError(path, f"unpack it: a {suffix_of(path)} file is read unpacked only")
    if suffix_of(path) == ".parquet":
        file = ParquetFile(path)
        return file.schema_arrow, lambda columns: file.iter_batches(columns=columns)
    source = pyarrow.memory_map(str(path))
    try:
        whole = ipc.open_file(source)
        batches = (whole.get_batch(i) for i in range(whole.num_record_batches))
        schema = whole.schema
    except pyarrow.ArrowInvalid:
        source.seek(0)
        batches = stream = ipc.open_stream(source)
        schema = stream.schema
    return schema, lambda columns: (batch.select(columns) for batch in batches)


def labels_of(metadata: Mapping[bytes, bytes]) -> dict[str, Sequence[str]]:
    """Returns the names of the numbered labels by column, as `datasets` writes them."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: list(map(str, feature["names"]))
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _named(value: Any, names: Sequence[str]) -> Any:
    """Returns the name of a numbered label; what is none of them stays as it is."""
    return names[value] if type(value) is int and 0 <= value < len(names) else value
