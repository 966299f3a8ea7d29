"""Opens the subject model of a configuration, on this machine or on NDIF's servers; without the
regular messages of the libraries that it is loaded by."""

from __future__ import annotations

import warnings

from emoexp.config import ModelConfig
from emoexp.models.loading.load import LayerCheck
from emoexp.models.subject import SubjectModel


def open_model(config: ModelConfig, check: LayerCheck | None = None) -> SubjectModel:
    """Loads the model of `config`, or connects to it if `config.remote` is set.

    Args:
        check: called with the number of layers before the weights are read.

    Raises:
        EmoexpError: the model is missing, gated, too large or of an unknown architecture.
    """
    if not config.remote:
        return SubjectModel.load(config, check)
    from emoexp.models.remote import RemoteModel

    return RemoteModel.connect(config)


def silence_libraries() -> None:
    """Silences the regular messages of nnsight, transformers and the hub (edits that a short
    generation never reaches, advice, retries)."""
    from huggingface_hub.utils import enable_progress_bars
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    hub_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    enable_progress_bars()  # of downloads, which transformers has just switched off as well
    warnings.filterwarnings("ignore", module=r"nnsight.*")
