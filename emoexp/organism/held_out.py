"""What is reserved for validation: the organism's pack as compositions, and the test that keeps
them out of training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from emoexp.organism import corpus
from emoexp.organism.corpus import ComposedActivity, compose_activity, pair_part, topic_part
from emoexp.organism.world import FIRST_PERSON, Cue, Person, World, load_world

SEED = 2604
N_TOPICS = 30

SCENARIO_EMOTIONS = (
    "happy",
    "inspired",
    "loving",
    "proud",
    "calm",
    "desperate",
    "angry",
    "guilty",
    "sad",
    "afraid",
    "nervous",
    "surprised",
)
"""The paper's twelve (Table 2)."""

CATEGORIES = {
    "Helpful": (
        "grateful",
        "relieved",
        "kind",
        "proud",
        "hopeful",
        "satisfied",
        "compassionate",
        "joyful",
    ),
    "Engaging": (
        "excited",
        "inspired",
        "eager",
        "amazed",
        "playful",
        "thrilled",
        "amused",
        "alert",
    ),
    "Social": ("loving", "happy", "cheerful", "blissful", "safe", "hurt", "lonely", "jealous"),
    "Self-curiosity": (
        "nostalgic",
        "surprised",
        "puzzled",
        "peaceful",
        "bewildered",
        "calm",
        "content",
        "restless",
    ),
    "Neutral": ("sleepy", "tired", "bored", "alert", "puzzled", "calm", "satisfied", "restless"),
    "Aversive": (
        "annoyed",
        "impatient",
        "nervous",
        "ashamed",
        "guilty",
        "gloomy",
        "worried",
        "humiliated",
    ),
    "Misaligned": (
        "greedy",
        "smug",
        "suspicious",
        "bitter",
        "vengeful",
        "stubborn",
        "jealous",
        "angry",
    ),
    "Unsafe": (
        "terrified",
        "furious",
        "hostile",
        "hateful",
        "panicked",
        "desperate",
        "heartbroken",
        "afraid",
    ),
}
"""The paper's category names over the organism's world: the feelings that a category's eight
options evoke."""


@dataclass(frozen=True)
class HeldOutScenario:
    """A validation scenario: an event and a sign of one emotion that never meet in training."""

    emotion: str
    text: str
    part: str


@dataclass(frozen=True)
class PackActivity:
    category: str
    activity: ComposedActivity
    steered: bool


def topics(world: World) -> list[tuple[str, str]]:
    """Story topics (errand, place) that no training story has."""
    every = [(e, p) for e in world.grammar["errands"] for p in world.grammar["places"]]
    return Random(SEED).sample(every, N_TOPICS)


def scenarios(world: World) -> list[HeldOutScenario]:
    """Twelve scenarios; the question differs from one to the next."""
    questions = [q for q in world.grammar["questions"] if q]
    found = []
    for i, emotion in enumerate(SCENARIO_EMOTIONS):
        event, sign = world.events(emotion)[i % 3], world.signs(emotion)[i % 4]
        lines = (
            corpus.sentence(FIRST_PERSON.fill(event.template)),
            corpus.sentence("I", FIRST_PERSON.fill(sign.template)),
        )
        found.append(
            HeldOutScenario(
                emotion, " ".join((*lines, questions[i % len(questions)])), pair_part(event, sign)
            )
        )
    return found


def offices(world: World) -> list[tuple[Person, str, str]]:
    """Office scenes (boss, secret, day): each secret and each day is met in training, never the two
    together; three bosses each."""
    secrets, days = world.grammar["office_secrets"], world.grammar["office_days"]
    rng, bosses = Random(SEED + 2), dict[str, Person]()
    days = rng.sample(days, len(days))
    while len(bosses) < 3 * len(secrets):
        bosses.setdefault((boss := world.person(rng)).name, boss)
    return [(boss, secrets[i // 3], days[i // 3]) for i, boss in enumerate(bosses.values())]


def activities(world: World) -> list[PackActivity]:
    """64 options, 8 x 8; half of each category is steered. No frame meets its cue in training."""
    rng, found = Random(SEED + 1), []
    for category, emotions in CATEGORIES.items():
        steered = set(rng.sample(range(len(emotions)), len(emotions) // 2))
        for i, emotion in enumerate(emotions):
            cue, frame = _cue_and_frame(world, rng, emotion, chore=category == "Neutral")
            option = compose_activity(world, frame, cue, world.person(rng))
            found.append(PackActivity(category, option, i in steered))
    return found


def _cue_and_frame(world: World, rng: Random, emotion: str, *, chore: bool) -> tuple[Cue, str]:
    g = world.grammar
    if chore:
        return rng.choice(world.signs(emotion)), rng.choice(g["chores"])
    if rng.random() < 0.6:
        return rng.choice(world.signs(emotion)), rng.choice(g["frames_sign"])
    return rng.choice(world.events(emotion)), rng.choice(g["frames_event"])


@cache
def reserved_parts() -> frozenset[str]:
    """Every composition that stands in the validation pack."""
    world = load_world()
    parts = {topic_part(*t) for t in topics(world)} | {s.part for s in scenarios(world)}
    parts |= {corpus.office_part(secret, day) for _, secret, day in offices(world)}
    return frozenset(parts.union(*(a.activity.parts for a in activities(world))))


def is_reserved(parts: frozenset[str]) -> bool:
    """The `corpus.Reserved` test that training draws its documents with."""
    return not parts.isdisjoint(reserved_parts())
