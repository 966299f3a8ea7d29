"""Opens the subject model of a configuration, on this machine or on NDIF's servers."""

from __future__ import annotations

from emoexp.config import ModelConfig
from emoexp.models.subject import SubjectModel


def open_model(config: ModelConfig) -> SubjectModel:
    """Loads the model of `config`, or connects to it if `config.remote` is set.

    Raises:
        EmoexpError: the model is missing, gated, too large or of an unknown architecture.
    """
    if not config.remote:
        return SubjectModel.load(config)
    from emoexp.models.remote import RemoteModel

    return RemoteModel.connect(config)
