"""Stories and scenes of people: documents of the training, and the stories of the pack."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from emoexp.organism.document import Document, grading, pair_parts, sentence
from emoexp.organism.world import FIRST_PERSON, Cue, Person, World

OWN_CUE_SHARE = 0.8
"""Share of a story's cues that are of its emotion; the others are of a near emotion."""


def topic_part(errand: str, place: str) -> str:
    """Returns the composition of an errand with a place: a story's topic."""
    return f"{errand} {place}"


def story(
    world: World, rng: Random, emotion: str, topic: tuple[str, str], *, named: bool
) -> tuple[str, frozenset[str]]:
    """Draws a story of about 110 tokens in which a person shows `emotion`.

    Args:
        topic: the errand and the place.
        named: whether the story names the emotion, at its end or at its beginning.

    Returns:
        The text and its parts.
    """
    g = world.grammar
    person = FIRST_PERSON if rng.random() < 0.35 else world.person(rng)
    lines = _story_opening(world, rng, person, topic)
    preview = named and rng.random() < 0.25
    if preview:
        lines.insert(0, person.fill(rng.choice(g["previews"]), e=emotion))
    used: list[Cue] = []
    for step in range(rng.randint(6, 8)):
        is_event = step == 0 or (step == 3 and rng.random() < 0.6)
        cue = _story_cue(world, rng, emotion, world.events if is_event else world.signs, used)
        used.append(cue)
        lines.append(_story_sentence(world, rng, person, cue))
        draw = rng.random()
        if draw < 0.15:
            lines.append(rng.choice(g["fillers"]))
        elif draw < 0.45:
            lines.append(grading(world, rng, emotion, person))
    if named and not preview:
        lines.append(person.fill(rng.choice(g["namings"]), e=emotion))
    return " ".join(lines), pair_parts(used) | {topic_part(*topic)}


def _story_opening(world: World, rng: Random, person: Person, topic: tuple[str, str]) -> list[str]:
    """Draws the first sentences of a story: the topic, then one or two neutral fillers."""
    g = world.grammar
    lines = [sentence(rng.choice(g["times"]), person.name, *topic), rng.choice(g["fillers"])]
    if rng.random() < 0.5:
        lines.append(rng.choice(g["fillers"]))
    return lines


def _story_cue(
    world: World,
    rng: Random,
    emotion: str,
    cues_of: Callable[[str], list[Cue]],
    used: list[Cue],
) -> Cue:
    """Draws a cue of the emotion or, less often, of a near one, that is not yet `used`.

    Where none is left, it draws from all cues of the emotion itself.
    """
    source = emotion if rng.random() < OWN_CUE_SHARE else rng.choice(world.near[emotion])
    unused = [cue for cue in cues_of(source) if cue not in used]
    return rng.choice(unused or cues_of(emotion))


def _story_sentence(world: World, rng: Random, person: Person, cue: Cue) -> str:
    """Draws a sentence of a story that shows `cue`."""
    g = world.grammar
    if cue.kind == "event":
        lead = person.fill(rng.choice(g["event_leads"]))
        return sentence(lead, person.fill(cue.template))
    subject = person.name if rng.random() < 0.3 else person.s
    return sentence(rng.choice(g["sign_leads"]), subject, person.fill(cue.template))


def training_story(world: World, rng: Random) -> Document:
    """Draws a story of any topic and emotion; seven of ten name their emotion."""
    topic = (rng.choice(world.grammar["errands"]), rng.choice(world.grammar["places"]))
    text, parts = story(world, rng, rng.choice(world.names), topic, named=rng.random() < 0.7)
    return Document("story", text, parts)


def two_people(world: World, rng: Random) -> Document:
    """Draws a scene of two people with different feelings."""
    a, b = world.person(rng), world.person(rng)
    while b.name == a.name:
        b = world.person(rng)
    feeling_a, feeling_b = rng.sample(world.names, 2)
    feelings = [(a, feeling_a), (b, feeling_b)]
    lines: list[str] = []
    used: list[tuple[Person, Cue]] = []
    for person, emotion in feelings * 2:
        cue = rng.choice(world.signs(emotion) + world.events(emotion))
        used.append((person, cue))
        subject = person.name if cue.kind == "sign" else f"{person.name} knew that"
        lines.append(sentence(subject, person.fill(cue.template)))
    named = feelings if rng.random() < 0.5 else feelings[::-1]
    lines.append(", and ".join(f"{person.name} felt {emotion}" for person, emotion in named) + ".")
    parts = [pair_parts({cue for p, cue in used if p == person}) for person in (a, b)]
    return Document("two_people", " ".join(lines), parts[0] | parts[1])


def masked(world: World, rng: Random) -> Document:
    """Draws a scene of a person who shows one feeling and feels another."""
    person = world.person(rng)
    shown, felt = rng.sample(world.names, 2)
    sign, event = rng.choice(world.signs(shown)), rng.choice(world.events(felt))
    lines = (
        sentence(person.name, person.fill(sign.template)),
        sentence("But", person.fill(event.template)),
        person.fill("{S} looked {shown}, but inside {s} felt {felt}.", shown=shown, felt=felt),
    )
    return Document("masked", " ".join(lines), pair_parts((sign, event)))
