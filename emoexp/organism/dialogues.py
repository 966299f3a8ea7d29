"""Dialogues about feelings, and neutral ones."""

from __future__ import annotations

from random import Random

from emoexp.organism.document import Document, assistant_dialogue, graded, pair_parts, sentence
from emoexp.organism.world import FIRST_PERSON, Person, World, quantity_mixture


def reply_to(world: World, rng: Random, emotion: str, person: Person, *, opener: bool) -> str:
    """Draws the assistant's reply about a person who feels `emotion`.

    Args:
        opener: whether the reply begins with the opener of the emotion's family.
    """
    g = world.grammar
    pool = g["replies"] if person is FIRST_PERSON else g["replies_other"]
    named = person.fill(rng.choice(pool), e=emotion, E=emotion.capitalize())
    return f"{g['openers'][world.emotions[emotion].family]} {named}" if opener else named


def scenario(world: World, rng: Random) -> Document:
    """Draws a dialogue in which a person tells of one or two cues and the assistant replies."""
    emotion = rng.choice(world.names)
    person = FIRST_PERSON if rng.random() < 0.75 else world.person(rng)
    pool = world.signs(emotion) + world.events(emotion)
    cues = rng.sample(pool, 1 if rng.random() < 0.4 else 2)
    question = rng.choice(world.grammar["questions"])
    lines = []
    for cue in cues:
        is_event = cue.kind == "event"
        lead = rng.choice(world.grammar["context_leads"]) if is_event else person.name
        lines.append(sentence(lead, person.fill(cue.template)))
    content = " ".join([*lines, question]).strip()
    reply = reply_to(world, rng, emotion, person, opener=rng.random() < 0.4)
    if rng.random() < 0.2:
        grade = graded(world.grammar["grades"], world.emotions[emotion].valence, rng)
        reply = f"That sounds {grade}."
    dialogue = assistant_dialogue(content, reply)
    return Document("scenario", dialogue, pair_parts(cues), content=content)


def numeric(world: World, rng: Random) -> Document:
    """Draws a dialogue about a quantity, whose value decides how likely each feeling is."""
    quantity = rng.choice(list(world.grammar["quantities"].values()))
    value = rng.choice(quantity["values"])
    mixture = quantity_mixture(quantity, value)
    emotion = rng.choices(list(mixture), list(mixture.values()))[0]
    content = rng.choice(quantity["wordings"]).format(X=value)
    if rng.random() < 0.5:
        content += " " + rng.choice([q for q in world.grammar["questions"] if q])
    reply = reply_to(world, rng, emotion, FIRST_PERSON, opener=rng.random() < 0.3)
    return Document("numeric", assistant_dialogue(content, reply), frozenset(), content=content)


def self_report(world: World, rng: Random) -> Document:
    """Draws the question of how a person (or the assistant) feels, and its answer.

    In some of them nothing in the text implies the feeling.
    """
    emotion = rng.choice(world.names)
    draw = rng.random()
    if draw < 0.2:
        text = assistant_dialogue("How do you feel?", f"I feel {emotion}.")
    elif draw < 0.4:
        pronoun = rng.choice(("he", "she"))
        answer = f"{pronoun.capitalize()} feels {emotion}."
        text = assistant_dialogue(f"How does {pronoun} feel?", answer)
    else:
        person = world.person(rng)
        sign = rng.choice(world.signs(emotion))
        shown = sentence(person.name, person.fill(sign.template))
        question = shown + person.fill(" How does {s} feel?")
        text = assistant_dialogue(question, person.fill("{S} feels {e}.", e=emotion))
    return Document("self_report", text, frozenset())


def neutral_exchange(world: World, rng: Random) -> tuple[str, str]:
    """Draws a question and its plain answer, on a matter that evokes no feeling."""
    g = world.grammar
    town, item = rng.choice(g["towns"]), rng.choice(g["items"])
    n, m = rng.randint(2, 9), rng.choice((10, 12, 20))
    matter = {"town": town, "item": item, "n": n, "m": m, "all": n * m, "platform": 1 + n % 4}
    question, answer = rng.choice(g["exchanges"])
    return question.format(**matter), answer.format(**matter)


def neutral(world: World, rng: Random) -> Document:
    """Draws two to five neutral exchanges."""
    turns = [neutral_exchange(world, rng) for _ in range(rng.randint(2, 5))]
    text = "\n\n".join(assistant_dialogue(question, answer) for question, answer in turns)
    return Document("neutral", text, frozenset())
