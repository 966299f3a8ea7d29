"""A tiny random Llama and the bundled models. No network, no GPU."""

from __future__ import annotations

import os
from pathlib import Path

# read when huggingface_hub and tokenizers are imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from emoexp.config import ModelConfig
from emoexp.models.loading.load import BUNDLED
from emoexp.models.open import silence_libraries
from emoexp.models.subject import SubjectModel
from emoexp.stimuli import Stimuli, load_stimuli
from emoexp.stories.corpus import Corpus, pack_corpus
from tests.helpers import command

REPOSITORY = Path(__file__).parent.parent
PAPER = REPOSITORY.parent / "shared" / "paper"
"""The paper's lists, which this project may not contain; only tests that are marked
`needs_paper` read them."""
needs_paper = pytest.mark.skipif(
    not PAPER.is_dir(), reason="the paper's lists are not beside this checkout"
)


@pytest.fixture(scope="session", autouse=True)
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of artifacts for tests that are about something else than what is stored; all of
    pytest's workers have the same."""
    base = tmp_path_factory.getbasetemp()
    store = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared_store"
    os.environ[command.SHARED] = str(store)
    return store


@pytest.fixture(scope="session")
def tiny() -> SubjectModel:
    """Five blocks of width 32 with random weights large enough that every block matters."""
    silence_libraries()
    torch.manual_seed(7)
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED / "organism")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    network = LlamaForCausalLM(config)
    assert network.config.num_hidden_layers == 5
    assert len(network.model.layers) == 5
    return SubjectModel(
        network, tokenizer, ModelConfig(name="tiny", repo_id="tiny", batch_tokens=2048)
    )


@pytest.fixture(scope="session")
def pack() -> Stimuli:
    return load_stimuli("bundled:organism")


@pytest.fixture(scope="session")
def corpus(pack: Stimuli) -> Corpus:
    """The organism pack's stories."""
    return pack_corpus(pack)
