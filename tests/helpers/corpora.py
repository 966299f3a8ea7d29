"""The same twelve stories and four neutral texts in every layout that can be imported, and damaged
copies with the faults to be told."""

from __future__ import annotations

import csv
import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

WORDS = [
    "river",
    "lamp",
    "wagon",
    "pebble",
    "market",
    "window",
    "thread",
    "barrel",
    "candle",
    "meadow",
    "ladder",
    "basket",
    "kettle",
    "harbour",
]
EMOTIONS = ("angry", "at ease", "sad")
TOPICS = ("a loose plank", "a long queue")


def text(seed: str, n: int = 70) -> str:
    """Words enough to be longer than the 50-token skip; none of them an emotion."""
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(n)) + "."


ROWS = [(e, t, [text(f"{e}{t}{i}") for i in range(2)]) for e in EMOTIONS for t in TOPICS]
"""(emotion, topic, texts): 3 emotions x 4 stories."""
NEUTRAL = [(t, [f"Human: {text(f'{t}{i}')}\n\nAssistant: yes" for i in range(2)]) for t in TOPICS]
FLAT = [{"emotion": e, "topic": t, "text": x} for e, t, texts in ROWS for x in texts]
FLAT_NEUTRAL = [
    {"emotion": "neutral", "topic": t, "text": x} for t, texts in NEUTRAL for x in texts
]


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def put_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    return put(path, "".join(json.dumps(row) + "\n" for row in rows))


def put_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def put_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def renamed(rows: list[dict[str, Any]], **names: str) -> list[dict[str, Any]]:
    return [{names.get(k, k): v for k, v in row.items() if names.get(k) != ""} for row in rows]


def jsonl_file(root: Path) -> Path:
    return put_lines(root / "all.jsonl", FLAT_NEUTRAL + FLAT)


def jsonl_shards(root: Path) -> Path:
    """Lists of texts, in reverse order, neutral ones in a file of their own without an emotion."""
    put_lines(
        root / "b.jsonl", [{"label": e.upper(), "premise": t, "stories": x} for e, t, x in ROWS[:3]]
    )
    put_lines(
        root / "a.jsonl",
        [
            {"label": f" {e} ".replace("at ease", "at_ease"), "premise": t, "stories": x[::-1]}
            for e, t, x in ROWS[:2:-1]
        ],
    )
    put_lines(
        root / "neutral.jsonl", [{"dialogue": x, "n": 1} for _, texts in NEUTRAL for x in texts]
    )
    return root


def jsonl_lists_as_json(root: Path) -> Path:
    """A list of stories as a JSON string (snae/emotion_stories_*, as read by public code)."""
    rows = [
        {"emotion": e, "topic": t, "stories": json.dumps(x)}
        for e, t, x in [*ROWS, *(("neutral", *n) for n in NEUTRAL)]
    ]
    return put_lines(root / "stories.jsonl", rows)


def json_array(root: Path) -> Path:
    return put(root / "all.json", FLAT + FLAT_NEUTRAL)


def csv_file(root: Path) -> Path:
    return put_csv(root / "all.csv", renamed(FLAT + FLAT_NEUTRAL, text="Story", emotion="Emotion"))


def tsv_shards(root: Path) -> Path:
    put_csv(root / "train" / "0.tsv", FLAT[:5], "\t")
    put_csv(root / "train" / "1.tsv", FLAT[5:], "\t")
    put_csv(root / "neutral" / "0.tsv", renamed(FLAT_NEUTRAL, emotion=""), "\t")
    return root


def parquet_shards(root: Path) -> Path:
    put_parquet(root / "data" / "train-00000-of-00002.parquet", FLAT[6:])
    put_parquet(root / "data" / "train-00001-of-00002.parquet", FLAT[:6] + FLAT_NEUTRAL)
    return root


def parquet_lists(root: Path) -> Path:
    rows = [
        {"emotion": e, "topic": t, "texts": x}
        for e, t, x in [*ROWS, *(("neutral", *n) for n in NEUTRAL)]
    ]
    return put_parquet(root / "all.parquet", rows)


def gemotions(root: Path) -> Path:
    """The tables of generate_stories.py and generate_neutral.py of dejanseo/gemotions, in WAL mode;
    `stories` has what is not clean."""
    (root / "data").mkdir(parents=True)
    columns = (
        "id INTEGER PRIMARY KEY, api_call_id INTEGER, topic_idx INTEGER, topic TEXT, {}_idx"
        " INTEGER, text TEXT"
    )
    with sqlite3.connect(root / "data" / "stories.db") as base:
        base.execute("PRAGMA journal_mode=WAL")
        for table in ("stories", "stories_clean"):
            base.execute(f"CREATE TABLE {table} ({columns.format('story')}, emotion TEXT)")
        insert = (
            "INSERT INTO {} (api_call_id, emotion, topic_idx, topic, story_idx, text) VALUES (1, ?,"
            " ?, ?, ?, ?)"
        )
        for emotion, topic, texts in ROWS[::-1]:
            base.executemany(
                insert.format("stories_clean"),
                [(emotion, TOPICS.index(topic), topic, i, x) for i, x in enumerate(texts)],
            )
            base.execute(
                insert.format("stories"), (emotion, 0, topic, 0, "Sure, here are the stories")
            )
    base.close()
    with sqlite3.connect(root / "data" / "neutral.db") as base:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute(f"CREATE TABLE dialogues ({columns.format('dialogue')})")
        for topic, texts in NEUTRAL:
            insert = (
                "INSERT INTO dialogues (api_call_id, topic_idx, topic, dialogue_idx, text) VALUES"
                " (1, ?, ?, ?, ?)"
            )
            base.executemany(
                insert, [(TOPICS.index(topic), topic, i, x) for i, x in enumerate(texts)]
            )
    base.close()
    return root


def emotion_probes(root: Path) -> Path:
    """Files as src/emotion_probes/data.py of V-Coding/emotion-probes writes them; the names are
    hashes, so in no order."""
    meta = {"model": "a-model", "timestamp": "2026-01-01T00:00:00", "n_requested": 2, "n_parsed": 2}
    for i, (emotion, topic, texts) in enumerate(ROWS):
        put(
            root / "stories" / emotion / f"{99 - i:08x}.json",
            {"emotion": emotion, "topic": topic, "stories": texts, "metadata": meta},
        )
    for i, (topic, texts) in enumerate(NEUTRAL):
        put(
            root / "neutral" / f"{99 - i:08x}.json",
            {"topic": topic, "dialogues": texts, "metadata": meta},
        )
    return root


def emoexp_generated(root: Path) -> Path:
    put(root / "identity.json", {"server_model": "a-model"})
    unit = {
        "answers": 2,
        "finish_reasons": ["stop", "stop"],
        "other": ["I cannot write that story."],
    }
    for emotion, topic, texts in ROWS:
        put(
            root / "stories" / emotion / f"{TOPICS.index(topic):04d}.json",
            {"emotion": emotion, "topic": topic, "texts": texts, **unit},
        )
    for topic, texts in NEUTRAL:
        put(
            root / "neutral" / f"{TOPICS.index(topic):04d}.json",
            {"emotion": "", "topic": topic, "texts": texts, **unit},
        )
    put(
        root / "stories" / "sad" / "0002.json",
        {"emotion": "sad", "topic": "nobody answered", "texts": [], **unit},
    )
    return root


def codrai(root: Path) -> Path:
    put_parquet(root / "expression" / "stories.parquet", renamed(FLAT, text="story"))
    put_parquet(
        root / "deflection" / "neutral_dialogues.parquet",
        renamed(FLAT_NEUTRAL, text="dialogue", emotion=""),
    )
    put_parquet(
        root / "expression" / "neutral_stories.parquet",
        [{"topic": "x", "story": "not the paper's neutral set"}],
    )
    return root


def text_folders(root: Path) -> Path:
    """data/ of sortira/seven-deadly-sins-of-gemma, in the repository with its other files of
    text."""
    for number, row in enumerate(FLAT + FLAT_NEUTRAL):
        put(
            root / "data" / row["emotion"].replace(" ", "_") / f"{99 - number}.txt",
            row["text"] + "\n",
        )
    put(root / "data-prep" / "angry.txt", "the same again")
    put(root / "data" / "sad" / ".hidden.txt", "not a story")
    put(root / "seven-deadly-sins.txt", "names")
    return root


def text_blocks(root: Path) -> Path:
    for emotion in EMOTIONS:
        put(
            root / f"{emotion}.txt", "\n\n".join(r["text"] for r in FLAT if r["emotion"] == emotion)
        )
    put(root / "README.txt", "what this is")
    for number, row in enumerate(FLAT_NEUTRAL):
        put(root / "neutral" / f"{number}.txt", row["text"])
    return root


def text_lines(root: Path) -> Path:
    text_blocks(root)
    for emotion in EMOTIONS:
        put(root / f"{emotion}.txt", "\n".join(r["text"] for r in FLAT if r["emotion"] == emotion))
    return root


def no_topics(root: Path) -> Path:
    return put_lines(root / "all.jsonl", renamed(FLAT + FLAT_NEUTRAL, topic=""))


def tresol(root: Path) -> Path:
    """data/single_emotion.parquet of abotresol/emotion-story-corpora beside the other subset, which
    has no emotion column."""
    rows = [
        {
            "source": "a" if i % 2 else "b",
            "emotion": r["emotion"],
            "text": r["text"],
            "model": None,
            "leaked": False,
        }
        for i, r in enumerate(FLAT)
    ]
    rows += [
        {
            "source": "neutral-c",
            "emotion": "neutral",
            "text": r["text"],
            "model": None,
            "leaked": None,
        }
        for r in FLAT_NEUTRAL
    ]
    put_parquet(root / "data" / "single_emotion.parquet", rows)
    put_parquet(
        root / "data" / "three_emotion.parquet",
        [{"source": "a", "text": "x", "emotions": ["sad", "angry", "sad"]}],
    )
    return root


WITH_TOPICS = (
    jsonl_file,
    jsonl_shards,
    jsonl_lists_as_json,
    json_array,
    csv_file,
    tsv_shards,
    parquet_shards,
    parquet_lists,
    gemotions,
    emotion_probes,
    emoexp_generated,
    codrai,
)
WITHOUT_TOPICS = (text_folders, text_blocks, text_lines, no_topics, tresol)
"""Layouts that keep the topic, and those that do not."""


def damaged_jsonl(root: Path) -> tuple[Path, list[str]]:
    lines = [
        '{"emotion": "sad", "text": ',
        "[1]",
        '{"emotion": "sad"}',
        '{"text": "x"}',
        '{"emotion": 3, "text": "x"}',
        '{"emotion": "sad", "text": [1]}',
    ]
    lines += [
        json.dumps(FLAT[0]),
        '{"emotion": "neutral", "text": " "}',
        '{"emotion": "sad", "text": "\\ud83d"}',
    ]
    put(root / "a.jsonl", "\n".join(lines))
    wanted = [
        "line 1: not JSON",
        "line 2: a JSON list",
        "line 3: no text",
        "line 4: no emotion",
        "line 5: the emotion is 3",
        "line 6: the text is of type int",
        "line 8: an empty neutral text",
        "line 9: half of a surrogate pair",
    ]
    return root, [f"a.jsonl, {w}" for w in wanted]


def damaged_csv(root: Path) -> tuple[Path, list[str]]:
    put(root / "a.csv", 'emotion,text\nsad,"two\nlines"\nsad\nsad,a,b\n,x\nsad,"open\n')
    return root, [
        "a.csv, line 4: 1 fields",
        "a.csv, line 5: 3 fields",
        "a.csv, line 6: no emotion",
        "a.csv, after line 6: not to be read from here on",
    ]


def damaged_tsv(root: Path) -> tuple[Path, list[str]]:
    put(root / "b.tsv", "emotion\ttext\ttext\nsad\ta\tb\n")
    put(root / "a.tsv", "emotion\ttext\nsad\n")
    return root, [
        "a.tsv, line 2: 1 fields, the header has 2",
        "b.tsv: two columns of the same name",
    ]


def damaged_parquet(root: Path) -> tuple[Path, list[str]]:
    put_parquet(
        root / "a.parquet",
        [{"emotion": "sad", "text": None}, {"emotion": None, "text": "x"}, FLAT[0]],
    )
    put(root / "b.parquet", "PAR1 is not enough")
    return root, [
        "a.parquet, row 1: no text",
        "a.parquet, row 2: no emotion",
        "b.parquet: not a whole Parquet file",
    ]


def damaged_sqlite(root: Path) -> tuple[Path, list[str]]:
    gemotions(root)
    with sqlite3.connect(root / "data" / "stories.db") as base:
        base.execute("UPDATE stories_clean SET text = x'ff' WHERE id = 2")
        base.execute("UPDATE stories_clean SET emotion = NULL WHERE id = 5")
    base.close()
    put(
        root / "data" / "other.db", "not a database at all, though it is long enough to be one" * 40
    )
    return root, [
        "data/other.db: not to be read as SQLite",
        "stories_clean row 2: the text is of type bytes",
        "stories_clean row 5: no emotion",
    ]


def damaged_json(root: Path) -> tuple[Path, list[str]]:
    emotion_probes(root)
    put(root / "stories" / "sad" / "0.json", '{"emotion": "sad",\n "stories": ["a"')
    put(root / "stories" / "sad" / "1.json", {"emotion": "happy", "stories": ["a"]})
    put(root / "neutral" / "2.json", {"topic": "a"})
    return root, [
        "stories/sad/0.json, line 2: not JSON",
        "stories/sad/1.json: the emotion is 'happy', the folder's is 'sad'",
        "neutral/2.json: no text",
    ]


def damaged_text(root: Path) -> tuple[Path, list[str]]:
    text_folders(root)
    (root / "data" / "sad" / "latin.txt").write_bytes("Fl\u00fcsse".encode("latin-1"))
    put(root / "data" / "neutral" / "void.txt", "\n")
    return root, [
        "data/neutral/void.txt: an empty neutral text",
        "data/sad/latin.txt: not UTF-8 (byte 0xfc",
    ]


DAMAGED = (
    damaged_jsonl,
    damaged_csv,
    damaged_tsv,
    damaged_parquet,
    damaged_sqlite,
    damaged_json,
    damaged_text,
)
