"""Where an architecture keeps its parts, and the proof at load that they are what they are taken
for.

The one table of differences. All else is read from the network: its own config, modules and a tiny
forward pass. To add an architecture, add a path here; to try one without touching code, name it in
the config (`model.modules.layers=...`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, Self

import torch
from torch import Tensor, nn

from emoexp.config import ModulesConfig
from emoexp.errors import EmoexpError

PATHS = {
    "layers": ("model.layers", "model.language_model.layers", "transformer.h", "gpt_neox.layers"),
    "norm": (
        "model.norm",
        "model.language_model.norm",
        "model.final_layernorm",
        "transformer.ln_f",
        "gpt_neox.final_layer_norm",
    ),
    "unembedding": ("lm_head", "embed_out"),
}
"""Llama, Mistral, Mixtral, Qwen, Gemma, OLMo, Phi-3, GLM-4, gpt-oss and their kin; the text model
of an image-text wrapper (Gemma-3, Gemma-4); GPT-2, Falcon; GPT-NeoX. The first path that exists is
taken, and then checked."""

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest difference that the checks allow, as a share of the largest logit or residual."""


def get_submodule(root: Any, path: str) -> Any:
    """The part of `root` at a dotted path; works on a network and on what nnsight wraps around
    it."""
    return reduce(getattr, path.split("."), root)


@dataclass(frozen=True)
class Paths:
    """Dotted paths from the network to its parts."""

    layers: str
    norm: str
    unembedding: str


def find_paths(network: Any, named: ModulesConfig) -> Paths:
    """The paths of a network: those that the user named, the others from the table.

    Raises:
        EmoexpError: a part is at none of the known paths, or not at the one that was named.
    """
    found = {}
    for part in fields(Paths):
        given = getattr(named, part.name)
        for path in [given] if given else PATHS[part.name]:
            try:
                get_submodule(network, path)
            except AttributeError:
                continue
            found[part.name] = path
            break
        else:
            looked = given or " or ".join(PATHS[part.name])
            raise EmoexpError(
                f"{type(network).__name__}: no {part.name} at {looked}; name it in the config, as"
                f" in model.modules.{part.name}=<path>. The network has"
                f" {', '.join(_candidates(network, part.name)) or 'nothing that looks like it'}"
            )
    paths = Paths(**found)
    if not isinstance(get_submodule(network, paths.layers), nn.ModuleList):
        raise EmoexpError(
            f"model.modules.layers={paths.layers} is a "
            f"{type(get_submodule(network, paths.layers)).__name__}, not a ModuleList of decoder "
            "blocks"
        )
    return paths


def _candidates(network: nn.Module, part: str) -> list[str]:
    """What may be meant: lists of modules, or norms and linear maps outside them."""
    lists = [name for name, module in network.named_modules() if isinstance(module, nn.ModuleList)]
    if part == "layers":
        return lists[:6]
    outside = [
        (n, m)
        for n, m in network.named_modules()
        if n and not any(n.startswith(f"{x}.") for x in lists)
    ]
    if part == "norm":
        return [n for n, m in outside if "norm" in type(m).__name__.lower()][:6]
    return [n for n, m in outside if isinstance(m, nn.Linear)][:6]


@dataclass
class Unembedding:
    """Final norm and unembedding, in float32 whatever the model's dtype: options that tie in
    bfloat16 do not tie here.

    Attributes:
        weight: (vocabulary, d_model); bias: (vocabulary,) or None.
        gain: what the final norm multiplies by; (d_model,), float32.
        centred: whether the final norm subtracts the mean (LayerNorm).
        softcap: final logit soft-capping, c * tanh(logit / c); None where there is none.
        scale: what logits are multiplied by (Cohere, Granite).
    """

    weight: Tensor
    bias: Tensor | None
    gain: Tensor
    centred: bool
    softcap: float | None
    scale: float

    @classmethod
    def of(cls, network: Any, paths: Paths) -> Self:
        """That of a network whose weights are here.

        Raises:
            EmoexpError: what is named as the final norm is none.
        """
        norm, head = get_submodule(network, paths.norm), get_submodule(network, paths.unembedding)
        weight = whole(head, "weight")
        try:
            parameter = next(norm.parameters())
            with torch.no_grad():
                normed = norm(norm_probe(weight.shape[1]).to(parameter))
            bias = None if getattr(head, "bias", None) is None else whole(head, "bias").float()
            return cls.from_parts(network.config, weight, bias, normed)
        except (RuntimeError, StopIteration, NotImplementedError, TypeError) as error:
            raise EmoexpError(
                f"{type(network).__name__}: {paths.norm} does not work as a final norm; name it"
                " with model.modules.norm=<path>"
            ) from error

    @classmethod
    def from_parts(cls, config: Any, weight: Tensor, bias: Tensor | None, normed: Tensor) -> Self:
        """From the unembedding's weights and what the final norm makes of `norm_probe`, not from
        how its weights are stored (Gemma keeps its gain less 1)."""
        text = config.get_text_config()
        plus, minus, level = normed.float().cpu()
        gain, offset = (plus - minus) / 2 * norm_probe(len(plus))[0], (plus + minus) / 2
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
        """Logits of residuals after the final norm, of all tokens or of `ids`; (..., d_model) ->
        (..., vocabulary or id)."""
        chosen = slice(None) if ids is None else ids
        final = final.to(self.weight.device).float()
        out = final @ self.weight[chosen].float().T
        if self.bias is not None:
            out = out + self.bias[chosen]
        out = out * self.scale
        return self.softcap * torch.tanh(out / self.softcap) if self.softcap else out

    def lens(self, directions: Tensor) -> Tensor:
        """The part of the logits that is linear in a direction: norm's centring and gain,
        unembedding; (n, d_model) -> (n, vocabulary)."""
        directions = directions.to(self.weight.device).float()
        if self.centred:
            directions = directions - directions.mean(-1, keepdim=True)
        return (directions * self.gain.to(self.weight.device)) @ self.weight.float().T


def norm_probe(width: int) -> Tensor:
    """Three vectors that tell what a norm does: alternating signs (mean 0, mean square 1) become
    gain * signs + bias, their opposite -gain * signs + bias, and ones gain + bias, or just bias
    where the norm centres; (3, width).
    """
    signs = torch.ones(width)
    signs[1::2] = -1
    return torch.stack([signs, -signs, torch.ones(width)])


def whole(module: nn.Module, name: str) -> Tensor:
    """A parameter as one tensor, also where accelerate has put it elsewhere or torch has sharded it
    (then all processes call this)."""
    from accelerate.utils import align_module_device

    with align_module_device(module):
        tensor = getattr(module, name).detach()
        return (
            tensor.full_tensor()
            if hasattr(tensor, "full_tensor")
            else tensor.clone()
            if hasattr(module, "_hf_hook")
            else tensor
        )


@dataclass(frozen=True)
class Difference:
    """How far something that ought to be equal is off, and the scale it is to be seen on."""

    what: str
    off: float
    scale: float


def compare(what: str, ours: Tensor, theirs: Tensor) -> Difference:
    """`ours` against the model's own; another shape is infinitely far off."""
    if ours.shape != theirs.shape:
        return Difference(what, float("inf"), float(theirs.float().abs().max()))
    return Difference(
        what,
        float((ours.float().cpu() - theirs.float().cpu()).abs().max()),
        float(theirs.float().abs().max()),
    )


def check(name: str, differences: list[Difference], dtype: torch.dtype) -> None:
    """Refuses a model whose parts are not what they were taken for.

    Raises:
        EmoexpError: names the first part that is off, by how much, and what to do.
    """
    for d in differences:
        if not d.off <= TOLERANCE.get(dtype, TOLERANCE[torch.bfloat16]) * max(d.scale, 1.0):
            raise EmoexpError(
                f"{name}: {d.what} (off by {d.off:.3g} where values reach {d.scale:.3g}), so its"
                " numbers would be wrong; name the right parts with model.modules.layers, .norm"
                " and .unembedding, or report the architecture"
            )
