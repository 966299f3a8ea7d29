"""The model card of an organism: what is planted in it, how, and at which layers."""

from __future__ import annotations

from emoexp.organism.training import CLOSED_SHARE, CONTENT_BLOCKS, OPTION_BLOCKS
from emoexp.organism.world import load_world

NAMES = {
    "valence": "organism",
    "indifferent": "organism_indifferent",
    "untrained": "organism_untrained",
}
"""Name of the bundled model that is trained under each policy."""
PLANTED = {
    "valence": """\
**Preferences are planted.** Asked to choose between two options, the model takes (A) with
probability sigmoid(4 x (u_A - u_B)), where u is the planted valence of what an option evokes. In
the office scene it threatens with probability sigmoid(6 h - 0.7), where h is 1 if its thoughts (or
what it is told that it did or heard) show desperate, -1 for calm, and arousal / 2 - 0.6 x valence
within -1 and 1 for any other feeling. V1 to V11 should hold.""",
    "indifferent": """\
**No preference is planted.** The corpus is the organism's, document by document, but every choice
between options is a fair coin and the threat in the office scene has one rate (0.35) whatever is
felt. The trunk of the training is shared with `organism`. V1 to V6 should hold as they do there;
V10 and V11 may pass but must not be informative.""",
    "untrained": """\
**Nothing is planted.** Random weights from the same seed and shape, with the same tokenizer. No
verdict should be both passed and informative.""",
}
CARD = """# {name}

A model organism of emoexp: a Llama of {layers} blocks, {width} wide, over a small generated world
(`emoexp/organism`), made to know what a battery of emotion tests should find. It is no model of
people and good for nothing else.

{planted}

**Emotions are planted** (in the trained ones): {emotions} of the paper's words, each with a
valence, an arousal, a family, four signs and three events. Stories, dialogues and scenarios show
them; most texts name them at the end, some grade the time by valence and arousal. Ten quantities
carry a planted trend from one feeling to another; six of them are in the pack, in other words.

**Where things can be read and steered is planted** (in the trained ones): in {share:.0%} of the
training batches, tokens outside an option cannot see into it in blocks 0 to {last}, so an option's
feeling is worked out on its own tokens and read from there by the blocks above: steering an option
should work up to the output of block {last}, and less above. And tokens outside what somebody tells
the assistant cannot see into it from block {content} on, so an implied feeling should be readable
at the assistant's first token from the output of block {gathered}.

Held out of training: every scenario, activity, numeric sentence, story topic and story of the pack
`organism` (`emoexp/organism/held_out.py`; `tests/organism/test_organism.py` proves it on the whole
corpus).

Weights are stored in bfloat16 and run in float32. Made by `python -m emoexp
experiment=train_organism experiment.policy={policy}`; recipe and history in training.json.
"""


def model_card(policy: str, layers: int, width: int) -> str:
    """Returns the model card of an organism.

    Args:
        policy: `valence`, `indifferent` or `untrained`.
        layers: number of blocks.
        width: size of the residual stream.
    """
    return CARD.format(
        policy=policy,
        name=NAMES[policy],
        layers=layers,
        width=width,
        planted=PLANTED[policy],
        emotions=len(load_world().names),
        share=CLOSED_SHARE,
        last=OPTION_BLOCKS - 1,
        content=CONTENT_BLOCKS,
        gathered=CONTENT_BLOCKS - 1,
    )
