"""Opens the subject model of a configuration, on this machine or on NDIF's servers."""

from __future__ import annotations

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
