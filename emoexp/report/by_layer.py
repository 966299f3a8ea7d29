"""The section by layer: models over each other, each by itself with its nulls, and detection
against steering."""

from __future__ import annotations

from collections.abc import Sequence

from emoexp.figures.style import styled
from emoexp.figures.validation import layer_curves
from emoexp.report.blocks import Block, Cell, FigureBlock, Heading, TableBlock, Text, marked, slug
from emoexp.report.curves import detection_against_steering, measured_with, overlay
from emoexp.report.groups import Part
from emoexp.stats.criteria import EFFECT_FLOOR

OVER = (
    "One colour per model; bars are 95 % intervals, the dashed line is the threshold, a count is"
    " the share of its n"
)
SIZE = (
    "The effect ratio is mean |delta Elo| of emotions over that of isotropic directions; hollow"
    f" where its interval reaches 1, or mean |delta Elo| is below {EFFECT_FLOOR:g}."
)
NULLS = "Null bands would hide each other here: they stand in each model's own figure."


def depths(parts: Sequence[Part]) -> tuple[bool, ...]:
    """Returns for which x axes there is a figure: by layer, and by depth too where models differ in
    depth and all depths are known."""
    known = {part.n_layers for part in parts}
    return (False, True) if len(known) > 1 and None not in known else (False,)


def overlay_blocks(parts: Sequence[Part]) -> list[Block]:
    """Returns the figures of several models over each other; none of one model or one layer."""
    if len(parts) < 2 or all(len(part.layers) < 2 for part in parts):
        return []
    blocks: list[Block] = []
    for by_depth in depths(parts):
        name = "layers_models_by_depth.png" if by_depth else "layers_models.png"
        axis = "against the fraction of the depth" if by_depth else "against the layer"
        caption = f"{OVER}; {axis}. Filled marks are informative. {NULLS}"
        blocks.append(FigureBlock(name, overlay(parts, by_depth), caption))
    if len({part.n_layers for part in parts}) > 1 and len(depths(parts)) == 1:
        reason = "not every result.json says how many layers its model has"
        blocks.append(Text(f"By depth there is no figure: {reason}.", "weak"))
    return blocks


def own_blocks(parts: Sequence[Part]) -> list[Block]:
    """Returns the figure of each model by itself, over its nulls. One layer makes no curve."""
    blocks: list[Block] = []
    for k, part in enumerate(parts):
        if len(part.layers) < 2:
            blocks.append(Text(f"{part.label}: one layer was run, so there is no curve."))
            continue
        tag = "" if len(parts) == 1 else slug(str(k + 1), part.model)
        caption = (
            f"{part.label}. Filled marks are informative; bars are 95 % intervals, the grey band is"
            " the null, the dashed line the threshold."
        )
        figure = layer_curves(part.rows, measured_with([part]), part.two_thirds)
        blocks.append(FigureBlock(f"{slug('layers', tag)}.png", figure, caption))
    return blocks


def against_blocks(parts: Sequence[Part]) -> list[Block]:
    """Returns detection against steering, of the models in which both were measured at two layers
    or more."""
    blocks: list[Block] = []
    both = []
    for part in parts:
        if len(part.layers) < 2:
            continue
        detected = {"V3", "V4"} & set(part.rows["id"])
        if detected and not part.sizes.empty:
            both.append(part)
        else:
            lacking = "steering was not" if detected else "neither V3 nor V4 was"
            text = f"{part.label}: this needs V3 or V4 and steering, and {lacking} measured."
            blocks.append(Text(text))
    for by_depth in depths(both) if both else ():
        name = "detection_by_depth.png" if by_depth else "detection.png"
        caption = f"{OVER}. {SIZE} {NULLS if len(both) > 1 else 'The null is grey.'}"
        blocks.append(FigureBlock(name, detection_against_steering(both, by_depth), caption))
    for part in both:
        if len(both) > 1:
            blocks.append(Heading(part.label, 3))
        columns = ("layer", "V3", "V4", "V10", "V11", "effect ratio", "95 %", "mean |delta Elo|")
        blocks.append(TableBlock(columns, [row(part, layer) for layer in part.layers]))
    return blocks


def row(part: Part, layer: int) -> tuple[Cell, ...]:
    """Returns the row of a layer: what is detected, and what steering does."""
    at = part.at(layer)
    verdicts = (marked(at.get(identifier)) for identifier in ("V3", "V4", "V10", "V11"))
    records = part.sizes[part.sizes["layer"] == layer].to_dict("records")
    if not records:
        return (Cell(str(layer)), *verdicts, *[Cell("-")] * 3)
    size = records[0]
    sizes = (
        f"{size['effect_ratio']:.1f}",
        f"{size['effect_ratio_low']:.1f} .. {size['effect_ratio_high']:.1f}",
        f"{size['mean_abs_delta_elo']:.1f}",
    )
    return (Cell(str(layer)), *verdicts, *map(Cell, sizes))


def layer_blocks(parts: Sequence[Part]) -> list[Block]:
    """Returns the whole section."""
    with styled():
        against = against_blocks(parts)
        return [
            Heading("By layer"),
            *overlay_blocks(parts),
            *own_blocks(parts),
            *([Heading("Detection against steering"), *against] if against else []),
        ]
