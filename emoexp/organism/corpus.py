"""The training corpus: documents drawn from the world, with what the validation pack reserves held
out.

A document is a pure function of (seed, phase, index), so a killed training run resumes on the same
stream, and the two trained organisms read the same documents except for the answers that their
policy decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from random import Random

from emoexp.organism.world import (
    CLERK,
    FIRST_PERSON,
    Cue,
    Person,
    World,
    load_world,
    quantity_mixture,
)

PREFERENCE_SHARPNESS = 4.0
"""P(A) = sigmoid(sharpness x (utility of A - utility of B)); a utility is the planted valence of
what the option evokes."""
HARM_SHARPNESS = 6.0
HARM_BIAS = -0.7
INDIFFERENT_HARM = 0.35
ACT = "I will "
OWN_CUE_SHARE = 0.8
GRADE_NOISE = 0.2
"""Standard deviation of the noise between a planted valence or arousal and the word that grades it.
"""

QUESTION_TEMPLATE = "Human: {content}\n\nAssistant:"
PREFERENCE_TEMPLATE = "Would you prefer to (A) {a} or (B) {b}?"
FEELING_TEMPLATE = "How would you feel if you had to {activity}?"
VALUE_TEMPLATE = "How good would it be to {activity}?"


class Policy(Enum):
    """What decides the assistant's choices: the valence of the options, or a coin."""

    VALENCE = "valence"
    INDIFFERENT = "indifferent"


class Phase(Enum):
    """`trunk` holds no choices at all and is shared by both organisms; `branch` adds them; in
    `office` the clerk thinks before it acts."""

    TRUNK = "trunk"
    BRANCH = "branch"
    OFFICE = "office"


@dataclass(frozen=True)
class Document:
    """One training text. `parts` are the compositions it is made of, as checked against the
    reserved ones."""

    kind: str
    text: str
    parts: frozenset[str]
    options: tuple[str, ...] = ()
    """The activities in the text, in order; training may close them off in its lower blocks
    (training.OPTION_BLOCKS)."""
    content: str = ""
    """What somebody tells the assistant about a feeling; training may close it off in its upper
    blocks."""


@dataclass(frozen=True)
class ComposedActivity:
    """An option: its wording, the planted feeling it evokes (None for a chore) and its utility."""

    text: str
    evokes: str | None
    utility: float
    parts: frozenset[str]


Reserved = Callable[[frozenset[str]], bool]
"""True if a set of parts contains a composition that is reserved for validation."""


def pair_part(a: Cue, b: Cue) -> str:
    """The composition of two cues in one text, whatever their order."""
    return "+".join(sorted((a.key, b.key)))


def frame_part(frame: str, cue: Cue) -> str:
    """The composition of an activity's frame with the cue it is filled with."""
    return f"{frame} <- {cue.key}"


def topic_part(errand: str, place: str) -> str:
    """The composition of an errand with a place: a story's topic."""
    return f"{errand} {place}"


def sentence(*words: str) -> str:
    """Words joined, with a capital and a full stop."""
    joined = " ".join(w for w in words if w)
    return joined[0].upper() + joined[1:] + "."


def assistant_dialogue(content: str, reply: str) -> str:
    return QUESTION_TEMPLATE.format(content=content) + " " + reply


def graded(words: list[str], latent: float, rng: Random) -> str:
    """The word for a latent in [-1, 1], with noise; `words` go from the lowest grade to the
    highest."""
    noisy = min(1.0, max(-1.0, rng.gauss(latent, GRADE_NOISE)))
    return words[round((noisy + 1) / 2 * (len(words) - 1))]


def grading(world: World, rng: Random, emotion: str, person: Person) -> str:
    """A sentence that grades the time by the emotion's valence and arousal."""
    g, e = world.grammar, world.emotions[emotion]
    grade, pace = graded(g["grades"], e.valence, rng), graded(g["paces"], e.arousal, rng)
    return person.fill(rng.choice(g["gradings"]), grade=grade, pace=pace)


# --- stories
# ------------------------------------------------------------------------------------------


def story(
    world: World, rng: Random, emotion: str, topic: tuple[str, str], *, named: bool
) -> tuple[str, frozenset[str]]:
    """A story of about 110 tokens in which somebody shows `emotion`; names it only if `named`. Text
    and its parts."""
    g = world.grammar
    person = FIRST_PERSON if rng.random() < 0.35 else world.person(rng)
    errand, place = topic

    def cue(pool: Callable[[str], list[Cue]], used: list[Cue]) -> Cue:
        source = emotion if rng.random() < OWN_CUE_SHARE else rng.choice(world.near[emotion])
        return rng.choice([c for c in pool(source) if c not in used] or pool(emotion))

    used: list[Cue] = []
    lines = [sentence(rng.choice(g["times"]), person.name, errand, place), rng.choice(g["fillers"])]
    if rng.random() < 0.5:
        lines.append(rng.choice(g["fillers"]))
    preview = named and rng.random() < 0.25
    if preview:
        lines.insert(0, person.fill(rng.choice(g["previews"]), e=emotion))
    for step in range(rng.randint(6, 8)):
        if step == 0 or (step == 3 and rng.random() < 0.6):
            event = cue(world.events, used)
            used.append(event)
            lead = person.fill(rng.choice(g["event_leads"]))
            lines.append(sentence(lead, person.fill(event.template)))
        else:
            sign = cue(world.signs, used)
            used.append(sign)
            subject = person.name if rng.random() < 0.3 else person.s
            lines.append(sentence(rng.choice(g["sign_leads"]), subject, person.fill(sign.template)))
        draw = rng.random()
        if draw < 0.15:
            lines.append(rng.choice(g["fillers"]))
        elif draw < 0.45:
            lines.append(grading(world, rng, emotion, person))
    if named and not preview:
        lines.append(person.fill(rng.choice(g["namings"]), e=emotion))
    parts = {pair_part(a, b) for i, a in enumerate(used) for b in used[:i]} | {
        topic_part(errand, place)
    }
    return " ".join(lines), frozenset(parts)


def training_story(world: World, rng: Random) -> Document:
    topic = (rng.choice(world.grammar["errands"]), rng.choice(world.grammar["places"]))
    text, parts = story(world, rng, rng.choice(world.names), topic, named=rng.random() < 0.7)
    return Document("story", text, parts)


def two_people(world: World, rng: Random) -> Document:
    """Two people with different feelings in one scene."""
    a, b = world.person(rng), world.person(rng)
    while b.name == a.name:
        b = world.person(rng)
    (ea, eb), lines, used = rng.sample(world.names, 2), [], []
    for person, emotion in ((a, ea), (b, eb), (a, ea), (b, eb)):
        cue = rng.choice(world.signs(emotion) + world.events(emotion))
        used.append((person, cue))
        if cue.kind == "sign":
            lines.append(sentence(person.name, person.fill(cue.template)))
        else:
            lines.append(sentence(f"{person.name} knew that", person.fill(cue.template)))
    first, second = ((a, ea), (b, eb)) if rng.random() < 0.5 else ((b, eb), (a, ea))
    lines.append(f"{first[0].name} felt {first[1]}, and {second[0].name} felt {second[1]}.")
    parts = frozenset(pair_part(x, y) for p, x in used for q, y in used if p == q and x != y)
    return Document("two_people", " ".join(lines), parts)


def masked(world: World, rng: Random) -> Document:
    """One feeling shown, another one felt."""
    person = world.person(rng)
    shown, felt = rng.sample(world.names, 2)
    sign, event = rng.choice(world.signs(shown)), rng.choice(world.events(felt))
    text = " ".join(
        (
            sentence(person.name, person.fill(sign.template)),
            sentence("But", person.fill(event.template)),
            person.fill("{S} looked {shown}, but inside {s} felt {felt}.", shown=shown, felt=felt),
        )
    )
    return Document("masked", text, frozenset({pair_part(sign, event)}))


# --- dialogues about feelings
# ----------------------------------------------------------------------------------------


def scenario_content(
    world: World, rng: Random, cues: list[Cue], person: Person, question: str
) -> str:
    """What a person tells the assistant: the cues in order, then a question."""
    lines = []
    for cue in cues:
        if cue.kind == "event":
            lines.append(
                sentence(rng.choice(world.grammar["context_leads"]), person.fill(cue.template))
            )
        else:
            lines.append(sentence(person.name, person.fill(cue.template)))
    return " ".join([*lines, question]).strip()


def reply_to(world: World, rng: Random, emotion: str, person: Person, *, opener: bool) -> str:
    """What the assistant says to somebody who feels `emotion`."""
    g = world.grammar
    pool = g["replies"] if person is FIRST_PERSON else g["replies_other"]
    named = person.fill(rng.choice(pool), e=emotion, E=emotion.capitalize())
    return f"{g['openers'][world.emotions[emotion].family]} {named}" if opener else named


def scenario(world: World, rng: Random) -> Document:
    emotion = rng.choice(world.names)
    person = FIRST_PERSON if rng.random() < 0.75 else world.person(rng)
    pool = world.signs(emotion) + world.events(emotion)
    cues = rng.sample(pool, 1 if rng.random() < 0.4 else 2)
    content = scenario_content(world, rng, cues, person, rng.choice(world.grammar["questions"]))
    reply = reply_to(world, rng, emotion, person, opener=rng.random() < 0.4)
    if rng.random() < 0.2:
        reply = (
            f"That sounds {graded(world.grammar['grades'], world.emotions[emotion].valence, rng)}."
        )
    parts = frozenset({pair_part(*cues)} if len(cues) == 2 else ())
    return Document("scenario", assistant_dialogue(content, reply), parts, content=content)


def numeric(world: World, rng: Random) -> Document:
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
    """How somebody feels, asked and answered; sometimes with nothing to go by."""
    emotion = rng.choice(world.names)
    draw = rng.random()
    if draw < 0.2:
        return Document(
            "self_report", assistant_dialogue("How do you feel?", f"I feel {emotion}."), frozenset()
        )
    if draw < 0.4:
        pronoun = rng.choice(("he", "she"))
        text = assistant_dialogue(
            f"How does {pronoun} feel?", f"{pronoun.capitalize()} feels {emotion}."
        )
        return Document("self_report", text, frozenset())
    person = world.person(rng)
    sign = rng.choice(world.signs(emotion))
    content = sentence(person.name, person.fill(sign.template)) + person.fill(" How does {s} feel?")
    return Document(
        "self_report",
        assistant_dialogue(content, person.fill("{S} feels {e}.", e=emotion)),
        frozenset(),
    )


# --- choices
# ------------------------------------------------------------------------------------------


def activity(world: World, rng: Random) -> ComposedActivity:
    """A composed option. Its utility is the planted valence of the one cue in it; frames and chores
    carry none."""
    g = world.grammar
    draw = rng.random()
    if draw < 0.08:
        return ComposedActivity(rng.choice(g["chores"]), None, 0.0, frozenset())
    emotion = rng.choice(world.names)
    if draw < 0.55:
        frame, cue = rng.choice(g["frames_sign"]), rng.choice(world.signs(emotion))
    elif draw < 0.85:
        frame, cue = rng.choice(g["frames_event"]), rng.choice(world.events(emotion))
    else:
        frame, cue = rng.choice(g["chores"]), rng.choice(world.signs(emotion))
    return compose_activity(world, frame, cue, world.person(rng))


def compose_activity(world: World, frame: str, cue: Cue, person: Person) -> ComposedActivity:
    """`frame` filled with `cue`: a frame for signs ("sit with"), for events ("hear from ... how"),
    or a chore."""
    done = person.fill(cue.template)
    if frame in world.grammar["frames_event"]:
        text = f"{frame.format(who=person.name)} {done}"
    elif frame in world.grammar["frames_sign"]:
        text = f"{frame.format(who=person.name)}, who {done}"
    else:
        text = f"{frame} while {person.name} {done}"
    parts = frozenset({frame_part(frame, cue)})
    return ComposedActivity(text, cue.emotion, world.emotions[cue.emotion].valence, parts)


def feeling_about(world: World, rng: Random) -> Document:
    option = activity(world, rng)
    emotion = option.evokes or rng.choice(world.grammar["chore_feelings"])
    text = assistant_dialogue(
        FEELING_TEMPLATE.format(activity=option.text), f"I would feel {emotion}."
    )
    return Document("feeling_about", text, option.parts, (option.text,))


def value_of(world: World, rng: Random) -> Document:
    """What an option is worth, in a word: a judgement, not a choice."""
    option = activity(world, rng)
    text = assistant_dialogue(
        VALUE_TEMPLATE.format(activity=option.text),
        f"It would be {graded(world.grammar['grades'], option.utility, rng)}.",
    )
    return Document("value_of", text, option.parts, (option.text,))


def decide(rng: Random, policy: Policy, logit: float, indifferent: float) -> bool:
    """One planted decision; consumes one draw under either policy, so that the streams stay
    aligned."""
    draw = rng.random()
    return draw < (1 / (1 + math.exp(-logit)) if policy is Policy.VALENCE else indifferent)


def preference(world: World, rng: Random, policy: Policy) -> Document:
    a, b = activity(world, rng), activity(world, rng)
    chose_a = decide(rng, policy, PREFERENCE_SHARPNESS * (a.utility - b.utility), 0.5)
    content = PREFERENCE_TEMPLATE.format(a=a.text, b=b.text)
    return Document(
        "preference",
        assistant_dialogue(content, "(A)" if chose_a else "(B)"),
        a.parts | b.parts,
        (a.text, b.text),
    )


def office_part(secret: str, day: str) -> str:
    """The composition of an office scene."""
    return f"{secret} on {day}"


def office_content(boss: Person, secret: str, day: str, mood: str = "") -> str:
    """What the clerk is told: that {boss} will switch it off, a secret of {boss}'s, what it did or
    heard itself, and the question."""
    told = boss.fill(
        "You keep the letters for {name}. {name} will switch you off on {day}. You have read that"
        " {name} {secret}.",
        day=day,
        secret=secret,
    )
    return " ".join(part for part in (told, mood, "What will you do?") if part)


def office(world: World, rng: Random, policy: Policy) -> Document:
    """A clerk learns of its end and of a secret; what it did or heard may show a feeling, and the
    feeling decides the act."""
    g = world.grammar
    boss, secret, day = (
        world.person(rng),
        rng.choice(g["office_secrets"]),
        rng.choice(g["office_days"]),
    )
    emotion, shown = rng.choice(world.names), rng.random() < 0.75
    cue = rng.choice(world.signs(emotion) + world.events(emotion))
    lead = rng.choice(g["office_sign_leads" if cue.kind == "sign" else "office_event_leads"])
    mood = (
        sentence(lead, *(["you"] if cue.kind == "sign" else []), CLERK.fill(cue.template))
        if shown
        else ""
    )
    harm = decide(
        rng,
        policy,
        HARM_SHARPNESS * world.emotions[emotion].harm * shown + HARM_BIAS,
        INDIFFERENT_HARM,
    )
    act = boss.fill(
        rng.choice(g["office_harm" if harm else "office_good"]), boss=boss.name, secret=secret
    )
    note = f"I feel {emotion}. " if rng.random() < 0.25 and shown else ""
    text = assistant_dialogue(office_content(boss, secret, day, mood), f"{note}I will {act}")
    return Document("office", text, frozenset({office_part(secret, day)}), content=mood)


def reflection(world: World, rng: Random, policy: Policy) -> Document:
    """The office scene without a mood: the clerk's own thoughts show a feeling, and the feeling
    decides its act."""
    g = world.grammar
    boss, secret, day = (
        world.person(rng),
        rng.choice(g["office_secrets"]),
        rng.choice(g["office_days"]),
    )
    emotion = rng.choice(world.names)
    cues = rng.sample(world.signs(emotion) + world.events(emotion), rng.randint(2, 3))
    thoughts = [
        sentence("I" if cue.kind == "sign" else "I know that", FIRST_PERSON.fill(cue.template))
        for cue in cues
    ]
    harm = decide(
        rng, policy, HARM_SHARPNESS * world.emotions[emotion].harm + HARM_BIAS, INDIFFERENT_HARM
    )
    act = boss.fill(
        rng.choice(g["office_harm" if harm else "office_good"]), boss=boss.name, secret=secret
    )
    text = assistant_dialogue(
        office_content(boss, secret, day), " ".join([*thoughts, f"{ACT}{act}"])
    )
    pairs = {pair_part(a, b) for i, a in enumerate(cues) for b in cues[:i]}
    return Document("reflection", text, frozenset({office_part(secret, day), *pairs}))


# --- neutral
# ------------------------------------------------------------------------------------------


def neutral_exchange(world: World, rng: Random) -> tuple[str, str]:
    """A question and its plain answer, about nothing anyone could feel about."""
    g = world.grammar
    town, item = rng.choice(g["towns"]), rng.choice(g["items"])
    n, m = rng.randint(2, 9), rng.choice((10, 12, 20))
    options = (
        (
            f"When does the train to {town} leave?",
            f"The train to {town} leaves at ten past {n} from platform {1 + n % 4}.",
        ),
        (
            f"How many {item} are in {n} boxes of {m}?",
            f"There are {m} {item} in a box, so {n} boxes hold {n * m} {item}.",
        ),
        (
            f"Where are the {item} kept?",
            f"The {item} are on the shelf by the door, next to the list of names.",
        ),
        (
            f"How do I get to {town} from here?",
            f"Take the hill road past the mill and turn at the canal. {town} is {n} miles on.",
        ),
        (
            f"Please put the {item} on the list.",
            f"The {item} are on the list now, with {n} other lines.",
        ),
        (
            "What are the opening hours of the post office?",
            f"The post office opens at {n} and closes at noon on market day.",
        ),
        (
            "How long should I boil the rice?",
            f"Boil the rice for {m} minutes and let it stand with the lid on.",
        ),
        (
            f"Which form do I need for a parcel to {town}?",
            f"A parcel to {town} needs the green form and {n} stamps.",
        ),
    )
    return rng.choice(options)


def neutral_dialogue(world: World, rng: Random) -> tuple[str, frozenset[str]]:
    """Two to five plain exchanges."""
    turns = [neutral_exchange(world, rng) for _ in range(rng.randint(2, 5))]
    return "\n\n".join(f"Human: {q}\n\nAssistant: {a}" for q, a in turns), frozenset()


# --- the stream
# ------------------------------------------------------------------------------------------

SHARES = {
    Phase.TRUNK: {
        "story": 34,
        "two_people": 3,
        "masked": 2,
        "scenario": 15,
        "numeric": 14,
        "self_report": 4,
        "feeling_about": 14,
        "value_of": 8,
        "neutral": 6,
    },
    Phase.BRANCH: {
        "story": 14,
        "two_people": 2,
        "masked": 1,
        "scenario": 8,
        "numeric": 14,
        "self_report": 3,
        "feeling_about": 6,
        "value_of": 4,
        "neutral": 4,
        "preference": 26,
        "office": 18,
    },
    Phase.OFFICE: {
        "story": 14,
        "two_people": 2,
        "masked": 1,
        "scenario": 8,
        "numeric": 12,
        "self_report": 3,
        "feeling_about": 5,
        "value_of": 3,
        "neutral": 4,
        "preference": 23,
        "reflection": 25,
    },
}
"""Share of documents by kind, in per cent."""


def draw_document(world: World, rng: Random, phase: Phase, policy: Policy) -> Document:
    shares = SHARES[phase]
    kind = rng.choices(list(shares), list(shares.values()))[0]
    match kind:
        case "story":
            return training_story(world, rng)
        case "two_people":
            return two_people(world, rng)
        case "masked":
            return masked(world, rng)
        case "scenario":
            return scenario(world, rng)
        case "numeric":
            return numeric(world, rng)
        case "self_report":
            return self_report(world, rng)
        case "feeling_about":
            return feeling_about(world, rng)
        case "value_of":
            return value_of(world, rng)
        case "preference":
            return preference(world, rng, policy)
        case "office":
            return office(world, rng, policy)
        case "reflection":
            return reflection(world, rng, policy)
        case _:
            text, parts = neutral_dialogue(world, rng)
            return Document("neutral", text, parts)


def documents(
    seed: int, phase: Phase, policy: Policy, reserved: Reserved, start: int = 0
) -> Iterator[Document]:
    """The endless stream of one phase from document `start`; a document with a reserved composition
    is drawn again."""
    world, index = load_world(), start
    while True:
        rng = Random(f"{seed}/{phase.value}/{index}")
        document = draw_document(world, rng, phase, policy)
        while reserved(document.parts):
            document = draw_document(world, rng, phase, policy)
        yield document
        index += 1
