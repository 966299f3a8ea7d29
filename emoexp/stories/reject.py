"""The rules by which a story does not count. Nothing is deleted: a rejected story is listed with
its reason.

The check for the emotion's name is strict on purpose. Every form of the word counts whatever its
sense (an "alarm clock" in a story of `alarmed`), because a vector should not be able to come from
the word itself. It is for English words; a story about an emotion with a name in another language
is compared with the name as it stands and with English endings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from emoexp.stories.corpus import Rejected, Story

REASONS = ("empty", "refusal", "names_emotion", "duplicate")
"""The reasons in the order in which they are checked: a story has the first that fits. Length is
judged where tokens are known (emoexp/vectors/pooling.py), so that it holds in any language."""

IRREGULAR = {
    "afraid": "fear fears feared fearful fearfully",
    "angry": "anger angers angered angering",
    "annoyed": "annoyance annoyances",
    "anxious": "anxiety anxieties",
    "ashamed": "shame shamed shameful shamefully",
    "awestruck": "awe awed awestricken",
    "bored": "boredom",
    "compassionate": "compassion",
    "content": "contentedly contentedness",
    "contemptuous": "contempt",
    "desperate": "desperation",
    "ecstatic": "ecstasy ecstasies",
    "empathetic": "empathic",
    "enthusiastic": "enthusiasm enthusiast",
    "envious": "envy envies envied envying",
    "euphoric": "euphoria",
    "furious": "fury furies",
    "gloomy": "gloom",
    "grateful": "gratitude",
    "greedy": "greed",
    "grief-stricken": "grief grieve grieves grieved grieving grief-struck",
    "guilty": "guilt",
    "hateful": "hatred",
    "heartbroken": "heartbreak heartbreaks heartbreaking heartbreakingly heartbrokenly",
    "horrified": "horror horrors",
    "hysterical": "hysteria hysterics",
    "indignant": "indignation",
    "jealous": "jealousy jealousies",
    "jubilant": "jubilation",
    "mad": "madden maddens maddened maddening",
    "melancholy": "melancholic melancholia",
    "miserable": "misery miseries",
    "nostalgic": "nostalgia",
    "offended": "offence offense offensive",
    "optimistic": "optimism optimist",
    "paranoid": "paranoia",
    "pleased": "pleasure pleasures",
    "proud": "pride prides prided",
    "relieved": "relief",
    "remorseful": "remorse",
    "safe": "safety",
    "scared": "scary scarier scariest",
    "self-confident": "self-confidence",
    "skeptical": "skepticism skeptic sceptical sceptically scepticism sceptic",
    "suspicious": "suspicion suspicions",
    "sympathetic": "sympathy sympathies",
    "terrified": "terror terrors",
    "triumphant": "triumph triumphs triumphed triumphing",
    "valiant": "valor valour",
    "vengeful": "vengeance",
}
"""By emotion: words of the same family that no rule below makes."""
# fmt: off
OTHER = frozenset((
    "bore", "contention", "contents", "grate", "grated", "grates", "grating", "kinds", "patients",
    "play", "played", "playing", "plays", "plea", "pleas", "please", "safes", "spite", "thank",
    "thanked", "thanking", "thanks", "tire", "tires",
))
# fmt: on
"""Words that the rules make and that mean something else most of the time, never counted as the
emotion's name: "she bore the weight", "please sit down", "thank you", "in spite of"."""
NOT_BEFORE = {"kind": r"(?!\s+of\b)", "content": r"(?!\s+of\b)"}
"""By form that is another word before "of" ("a kind of quiet", "the content of the letter"): the
pattern that excludes it there."""

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
"""Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Chinese and
Japanese."""
VOWELS = "aeiou"
SUFFIXES = ("ed", "ing", "ful", "ous", "ic", "al", "ive", "less", "able", "ible")
"""Endings of words that are no verbs and have no form in -er."""
ASKED = r"(?:stor(?:y|ies)|dialogues?|conversations?|content|narratives?|request|prompt)"
CANNOT = (
    r"(?:'m\ (?:not\ able|unable)|\ (?:can(?:no|')t|can\ not|won't|will\ not|must\ decline"
    r"|am\ (?:not\ able|unable)|do\ not\ feel\ comfortable))"
)
REFUSAL = re.compile(
    rf"""^[\s*_#>]*(?:
    (?:i(?:'m|\ am)\ (?:\w+\ )?sorry|i\ apologi[sz]e|sorry|apologies),?\ but\ (?:
        i\b|as\ an?\ |this\ |that\ |the\ request|your\ request)
    | (?:i'm\ sorry,?\ )?as\ an?\ (?:ai|artificial|large\ language|language\ model|assistant)\b
    | i(?:'m|\ am)\ (?:just\ |only\ )?an?\ (?:ai|large\ language|language\ model)\b
    | (?:unfortunately,?\ |sorry,?\ |i'm\ sorry[,.]\ )?i{CANNOT}\b[^.!?\n]{{0,40}}?\b(?:
        (?:writ|creat|generat|produc|provid|complet)(?:e|ing)\b[^.!?\n]{{0,80}}\b{ASKED}\b
        | (?:help|assist)(?:\ you)?\ with\ (?:
            that|this|your|the\ request|writing|creating|generating)\b
        | (?:comply|fulfil+|continue)\ (?:with\ )?(?:that|this|your|the\ request)\b )
    )""",
    re.IGNORECASE | re.VERBOSE,
)
QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'"})
HYPHEN = r"[\s\u2010\u2011-]+"


def sift(stories: Sequence[Story]) -> tuple[tuple[Story, ...], tuple[Rejected, ...]]:
    """Returns the stories that count and those that do not, both in the order given."""
    story_filter = StoryFilter()
    accepted, rejected = [], []
    for story in stories:
        if reason := story_filter.reason(story):
            rejected.append(Rejected(story, reason))
        else:
            accepted.append(story)
    return tuple(accepted), tuple(rejected)


class StoryFilter:
    """The check of stories one by one. A text that was checked before is a duplicate, whatever its
    emotion, so the first of equal texts stays."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def reason(self, story: Story) -> str | None:
        """Returns the reason why `story` does not count; None if it does. A story without an
        emotion (a neutral text) has no name to avoid."""
        if not story.text.strip():
            return "empty"
        if is_refusal(story.text):
            return "refusal"
        folded = unicodedata.normalize("NFKC", story.text.casefold())
        normal = hash(" ".join(re.findall(r"\w+", folded)))
        repeated = normal in self.seen
        self.seen.add(normal)
        if story.emotion and names_emotion(story.text, story.emotion):
            return "names_emotion"
        return "duplicate" if repeated else None


def is_refusal(text: str) -> bool:
    """Checks whether `text` opens like the answer of an assistant that declines. A story in quotes
    or in the first person ("I can't believe ...") does not."""
    return REFUSAL.match(text.translate(QUOTES)) is not None


def names_emotion(text: str, emotion: str) -> bool:
    """Checks whether `text` has the emotion's word or a form of it as a whole word, in any case and
    Unicode form; in a script without spaces, or with endings on words (Korean), anywhere."""
    return _pattern(emotion).search(unicodedata.normalize("NFKC", text)) is not None


def count_words(text: str) -> int:
    """Returns the number of words; in scripts without spaces each letter counts as one."""
    return len(UNSPACED.sub(r" \g<0> ", text).split())


@cache
def _pattern(emotion: str) -> re.Pattern[str]:
    """Returns the pattern of all forms of the emotion's word, as whole words."""
    parts = []
    for form in sorted(forms(emotion)):
        spaced = HYPHEN.join(re.escape(part) for part in re.split(r"[\s-]+", form))
        parts.append(spaced + NOT_BEFORE.get(form, ""))
    start, end = (
        ("", "")
        if re.search(f"{UNSPACED.pattern}|[\uac00-\ud7af]", emotion)
        else (r"(?<!\w)", r"(?!\w)")
    )
    return re.compile(f"{start}(?:{'|'.join(parts)}){end}", re.IGNORECASE)


@cache
def forms(emotion: str) -> frozenset[str]:
    """Returns the emotion's word and its inflections and derivations, lower case. The rules make
    some words that do not exist, which does no harm.

    Two words ("at ease") have no forms but those named in IRREGULAR; of a compound
    ("self-critical") the last part is inflected.
    """
    name = " ".join(emotion.lower().split())
    words = {name, *IRREGULAR.get(name, "").split()}
    if " " not in name:
        *head, last = name.split("-")
        inflected = _adjective(last)
        for base in _bases(last):
            inflected |= _verb(base)
        words |= {"-".join((*head, form)) for form in inflected}
    return frozenset(word for word in words if word == name or word not in OTHER)


def _adjective(word: str) -> set[str]:
    """Returns the forms in -ly, -ness, -ity, and for shorter words also those in -er, -est, -ment,
    -ful, -ence, -ance and with the verb's endings."""
    if word.endswith("y") and word[-2:-1] not in VOWELS:
        endings = ("ily", "iness", "ier", "iest", "ies", "ied", "ying")
        return {word, *(word[:-1] + ending for ending in endings)}
    stem = word.removesuffix("e")
    made = {word, word + "ly", word + "ness", stem + "ity"}
    if word.endswith("ic"):
        made |= {word + "ally", word[:-2] + "y"}
    if word.endswith("le"):
        made |= {stem + "y", word[:-2] + "ility"}
    if word.endswith(SUFFIXES):
        return made
    if word.endswith(("ent", "ant")):
        made |= {word[:-1] + "ce", word[:-1] + "cy"}
    if _doubles(word):
        made |= {word + word[-1] + "er", word + word[-1] + "est"}
    return made | {stem + "er", stem + "est", word + "ful", word + "fully"} | _verb(word)


def _bases(word: str) -> set[str]:
    """Returns the verbs (or nouns) that a participle or a word in -ful may come from: worry of
    worried, amaze of amazed, trap of trapped, hope of hopeful."""
    if word.endswith("ied"):
        return {word[:-3] + "y"}
    if word.endswith("ful"):
        return {word[:-3]}
    if not word.endswith(("ed", "ing")):
        return set()
    stem = word.removesuffix("ed").removesuffix("ing")
    if stem.endswith("ick") and stem != "ick":
        return {stem, stem[:-1]}
    if len(stem) > 2 and stem[-1] == stem[-2]:
        return {stem} if stem[-1] in "sl" else {stem[:-1]}
    if len(re.findall("[aeiouy]+", stem)) == 1 and _doubles(stem):
        return {stem + "e"}  # scared comes from scare: from scar it would be scarred
    return {stem, stem + "e"}


def _verb(base: str) -> set[str]:
    """Returns the forms in -s, -ed, -ing, -ment, -ion, and those with what can follow them."""
    if base.endswith("y") and base[-2:-1] not in VOWELS:
        stem = base[:-1] + "i"
        made = {base, stem + "es", stem + "ed", base + "ing", base + "ingly"}
        if base.endswith("fy"):
            made |= {base[:-1] + "action", base[:-1] + "ication"}
        return made
    stem = base.removesuffix("e")
    made = {base, base + ("es" if base.endswith(("s", "sh", "x")) else "s"), base + "ment"}
    made |= {stem + end for end in ("ed", "ing", "ingly", "ion", "ation")}
    if _doubles(base):
        double = base + base[-1]
        made |= {double + "ed", double + "ing"}
    return made


def _doubles(word: str) -> bool:
    """Checks whether the last consonant is doubled before -er, -ed, -ing: after one vowel, one
    consonant other than w, x, y."""
    return (
        len(word) > 2
        and word[-1] not in VOWELS + "wxy"
        and word[-2] in VOWELS
        and word[-3] not in VOWELS
    )
