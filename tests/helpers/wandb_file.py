"""Reads a .wandb file, as wandb 0.31 writes it (its own Python reader left the package; the upload
is done in Go)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2


def read_wandb(directory: Path) -> list[Any]:
    """The records of a run's .wandb file: LevelDB's log (blocks of 32 KiB, 7 bytes before each
    chunk) after W&B's own 7 bytes."""
    (path,) = directory.glob("*.wandb")
    content, offset, records, pending = path.read_bytes(), 7, [], b""
    assert content[:4] == b":W&B"
    while offset + 7 <= len(content):
        if (left := 32768 - offset % 32768) < 7:
            offset += left
            continue
        length, kind = (
            int.from_bytes(content[offset + 4 : offset + 6], "little"),
            content[offset + 6],
        )
        if kind == 0:
            break
        pending += content[offset + 7 : offset + 7 + length]
        offset += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            records.append(wandb_internal_pb2.Record.FromString(pending))
            pending = b""
    return records


class Offline:
    """One offline run as its file has it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.summary, self.config, self.history, self.exit = (
            directory,
            {},
            {},
            [],
            None,
        )
        self.preempted = False
        for record in read_wandb(directory):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.config |= {
                    item.key: json.loads(item.value_json) for item in record.run.config.update
                }
            elif kind == "config":
                self.config |= {
                    item.key: json.loads(item.value_json) for item in record.config.update
                }
            elif kind == "summary":
                self.summary |= {
                    name(item): json.loads(item.value_json) for item in record.summary.update
                }
            elif kind == "history":
                self.history.append(
                    {name(item): json.loads(item.value_json) for item in record.history.item}
                )
            elif kind == "exit":
                self.exit = record.exit.exit_code
            self.preempted |= kind == "preempting"


def name(item: Any) -> str:
    return item.key or "/".join(item.nested_key)
