"""The paths of the parts of each architecture, and the check at load that the parts are right.

`PATHS` is the only table of differences between architectures. All else is read from the network:
its own config, its modules and a tiny forward pass. To add an architecture, add a path here; to try
one without a change of the code, name it in the config (`model.modules.layers=...`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, Self

import torch
from torch import Tensor, nn

from emoexp.config import ModulesConfig
from emoexp.errors import EmoexpError, out_of_memory

PATHS = {
    "layers": ("model.layers", "model.language_model.layers", "transformer.h", "gpt_neox.layers"),
    "norm": (
        "model.norm",
        "model.language_model.norm",
        "model.embedding_norm",
        "model.norm_f",
        "model.final_layernorm",
        "transformer.ln_f",
        "gpt_neox.final_layer_norm",
    ),
    "unembedding": ("lm_head", "embed_out"),
}
"""In this order: Llama, Mistral, Mixtral, Qwen, Gemma, OLMo, Phi-3, GLM-4, gpt-oss and similar; the
text model of an image-text wrapper (Gemma-3, Gemma-4); GPT-2, Falcon; GPT-NeoX. The first path that
exists is taken, and then checked."""


def get_submodule(root: Any, path: str) -> Any:
    """Returns the part of `root` at a dotted path; `root` is a network or nnsight's wrapper of
    it."""
    return reduce(getattr, path.split("."), root)


@dataclass(frozen=True)
class Paths:
    """Dotted paths from the network to its parts."""

    layers: str
    norm: str
    unembedding: str


def find_paths(network: Any, named: ModulesConfig) -> Paths:
    """Returns the paths of a network: those that the user named, the others from the table.

    Raises:
        EmoexpError: a part is at none of the known paths, or not at the one that was named.
    """
    chosen = {part.name: getattr(named, part.name) for part in fields(Paths)}
    paths = Paths(**{part: _find_path(network, part, path) for part, path in chosen.items()})
    layers = get_submodule(network, paths.layers)
    if not isinstance(layers, nn.ModuleList):
        raise EmoexpError(
            f"model.modules.layers={paths.layers} is a {type(layers).__name__}, not a ModuleList of"
            " decoder blocks"
        )
    head = get_submodule(network, paths.unembedding)
    if getattr(getattr(head, "weight", None), "ndim", 0) != 2:
        raise EmoexpError(
            f"model.modules.unembedding={paths.unembedding} is a {type(head).__name__}, not a"
            " linear map to logits"
        )
    return paths


def _find_path(network: Any, part: str, named: str | None) -> str:
    """Returns the path that the user named, else the first of the table that exists; raises
    EmoexpError where there is no such part."""
    for path in [named] if named else PATHS[part]:
        try:
            get_submodule(network, path)
        except AttributeError:
            continue
        return path
    raise EmoexpError(
        f"{type(network).__name__}: no {part} at {named or ' or '.join(PATHS[part])}; name it in"
        f" the config, as in model.modules.{part}=<path>. The network has"
        f" {', '.join(_candidates(network, part)) or 'nothing that looks like it'}"
    )


def _candidates(network: nn.Module, part: str) -> list[str]:
    """Returns up to six paths that may be that part: lists of modules for the layers, else norms or
    linear maps outside such lists."""
    modules = list(network.named_modules())
    lists = [name for name, module in modules if isinstance(module, nn.ModuleList)]
    if part == "layers":
        return lists[:6]
    outside = [
        (name, module)
        for name, module in modules
        if name and not any(name.startswith(f"{path}.") for path in lists)
    ]
    if part == "norm":
        return [name for name, module in outside if "norm" in type(module).__name__.lower()][:6]
    return [name for name, module in outside if isinstance(module, nn.Linear)][:6]


@dataclass
class Unembedding:
    """The final norm and the unembedding, in float32 whatever the model's dtype: options with equal
    logits in bfloat16 have different ones here.

    Attributes:
        weight: (vocabulary, d_model).
        bias: (vocabulary,), or None.
        gain: the factor of the final norm; (d_model,), float32.
        centred: whether the final norm subtracts the mean (LayerNorm).
        softcap: final logit soft-capping, c * tanh(logit / c); None where there is none.
        scale: the factor of the logits (Cohere, Granite).
    """

    weight: Tensor
    bias: Tensor | None
    gain: Tensor
    centred: bool
    softcap: float | None
    scale: float

    @classmethod
    def of(cls, network: Any, paths: Paths) -> Self:
        """Reads the unembedding of a network whose weights are on this machine.

        Raises:
            EmoexpError: the module that is named as the final norm is not one.
        """
        norm, head = get_submodule(network, paths.norm), get_submodule(network, paths.unembedding)
        weight = whole(head, "weight")
        bias = None if getattr(head, "bias", None) is None else whole(head, "bias").float()
        probe = norm_probe(weight.shape[1])
        try:
            with torch.no_grad():
                normed = norm(probe.to(next(norm.parameters())))
            if normed.shape != probe.shape:
                raise TypeError(f"it gives {tuple(normed.shape)} for {tuple(probe.shape)}")
        except Exception as error:  # of whatever module it is
            if out_of_memory(error):
                raise
            raise EmoexpError(
                f"{type(network).__name__}: {paths.norm} does not work as a final norm; name it"
                " with model.modules.norm=<path>"
            ) from error
        return cls.from_parts(network.config, weight, bias, normed)

    @classmethod
    def from_parts(cls, config: Any, weight: Tensor, bias: Tensor | None, normed: Tensor) -> Self:
        """Builds it from the unembedding's weights and `normed`, the final norm's output for
        `norm_probe`. The norm's weights are not used, since architectures store them differently
        (Gemma stores its gain minus 1)."""
        text = config.get_text_config()
        plus, minus, level = normed.float().cpu()
        gain = (plus - minus) / 2 * norm_probe(len(plus))[0]
        offset = (plus + minus) / 2
        return cls(
            weight=weight,
            bias=bias,
            gain=gain,
            centred=bool((level - offset).abs().max() < 0.5 * gain.abs().max()),
            softcap=getattr(text, "final_logit_softcapping", None),
            scale=float(getattr(text, "logit_scale", None) or 1.0)
            / float(getattr(text, "logits_scaling", None) or 1.0),
        )

    def logits(self, final: Tensor, ids: list[int] | None = None) -> Tensor:
        """Returns the logits of residuals after the final norm, for all tokens or for `ids`;
        (..., d_model) -> (..., vocabulary or id)."""
        chosen = slice(None) if ids is None else ids
        final = final.to(self.weight.device).float()
        out = final @ self.weight[chosen].float().T
        if self.bias is not None:
            out = out + self.bias[chosen]
        out = out * self.scale
        return self.softcap * torch.tanh(out / self.softcap) if self.softcap else out

    def lens(self, directions: Tensor) -> Tensor:
        """Returns the part of the logits that is linear in a direction: the norm's centring and
        gain, and the unembedding; (n, d_model) -> (n, vocabulary)."""
        directions = directions.to(self.weight.device).float()
        if self.centred:
            directions = directions - directions.mean(-1, keepdim=True)
        return (directions * self.gain.to(self.weight.device)) @ self.weight.float().T


def norm_probe(width: int) -> Tensor:
    """Returns three vectors whose norms show the gain and the bias of a norm and whether it
    centres; (3, width).

    Alternating signs (mean 0, mean square 1) become gain * signs + bias, their opposite -gain *
    signs + bias, and ones become gain + bias, or only bias where the norm centres.
    """
    signs = torch.ones(width)
    signs[1::2] = -1
    return torch.stack([signs, -signs, torch.ones(width)])


def whole(module: nn.Module, name: str) -> Tensor:
    """Returns a parameter as one tensor, also where accelerate has offloaded it or torch has
    sharded it (then all processes must call this)."""
    from accelerate.utils import align_module_device

    with align_module_device(module):
        tensor = getattr(module, name).detach()
        if hasattr(tensor, "full_tensor"):
            return tensor.full_tensor()
        return tensor.clone() if hasattr(module, "_hf_hook") else tensor
