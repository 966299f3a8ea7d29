"""Every reader of a stranger's file, with a valid file of its kind to begin from.

A reader is a function of the path of a folder in which one file was replaced by fuzzed bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from emoexp.cli import main, status
from emoexp.compare.runs import load_spaces
from emoexp.config import StoriesConfig, StoriesSource
from emoexp.errors import EmoexpError
from emoexp.explore.page import markup
from emoexp.explore.runs import list_runs, transcripts
from emoexp.geometry.cosines import FILE, Cosines, save_cosines
from emoexp.models.chat import chat_of
from emoexp.models.loading import gguf
from emoexp.places import MODELS, PACKS
from emoexp.report import report
from emoexp.stimuli import load_stimuli
from emoexp.stimuli.blackmail import read_blackmail
from emoexp.stimuli.norms import read_lexicon
from emoexp.store.record import SavedRun
from emoexp.stories.corpus import pack_corpus
from emoexp.stories.imported.locate import import_corpus
from emoexp.texts.sources import Options, read_local
from emoexp.vectors.vectors import EmotionVectors
from tests.helpers.records import saved
from tests.helpers.report_runs import write_run

ROWS = [
    {"emotion": emotion, "topic": f"t{i}", "text": f"She walked to house {emotion_number}{i}."}
    for emotion_number, emotion in enumerate(("happy", "sad", "calm", "neutral"))
    for i in range(3)
]
Read = Callable[[Path], object]


@dataclass(frozen=True)
class Reader:
    """`file` is replaced in what `prepare` left in the folder; `seed` is valid. CI has a quarter
    of the cases of a `slow` one."""

    name: str
    file: str
    seed: bytes
    read: Read
    prepare: Callable[[Path], object] = lambda folder: None
    slow: bool = False


def separated(delimiter: str) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue().encode()


def parquet() -> bytes:
    out = io.BytesIO()
    pd.DataFrame(ROWS).to_parquet(out)
    return out.getvalue()


def sqlite() -> bytes:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE stories (emotion TEXT, topic TEXT, text TEXT)")
        database.execute("CREATE TABLE dialogues (topic TEXT, text TEXT)")
        rows = [tuple(row.values()) for row in ROWS]
        database.executemany("INSERT INTO stories VALUES (?, ?, ?)", rows[:9])
        database.executemany("INSERT INTO dialogues VALUES (?, ?)", [r[1:] for r in rows[9:]])
        database.commit()
        return bytes(database.serialize())


def read_corpus(folder: Path) -> object:
    """Imports the folder as a user's corpus."""
    settings = {"name": "corpus", "source": StoriesSource.corpus, "author": "people"}
    return import_corpus(StoriesConfig(path=str(folder), **settings))  # type: ignore[arg-type]


def neutral(folder: Path) -> None:
    (folder / "neutral.txt").write_text("Human: Hi.\n")


def unit(folder: Path) -> None:
    for place in ("stories/happy", "neutral"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "neutral" / "0.json").write_text('{"topic": "t", "texts": ["Human: Hi."]}')


def texts(folder: Path) -> object:
    for _, parts in read_local(folder, Options()):
        for _ in parts:
            pass
    return None


def pack(folder: Path) -> None:
    """The organism's pack with a few of its stories."""
    shutil.copytree(PACKS / "organism", folder, dirs_exist_ok=True)
    for name in ("stories.jsonl", "neutral.jsonl"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:6]))


def read_pack(folder: Path) -> object:
    stimuli = load_stimuli(str(folder))
    if stimuli.blackmail is not None:
        stimuli.blackmail.judge("Subject: I know your secret.", 0)
        stimuli.blackmail.asked("a reply", 0)
    return pack_corpus(stimuli)


def rules(folder: Path) -> object:
    """The rules by themselves, applied to a reply."""
    try:
        raw = json.loads((folder / "blackmail.json").read_text(errors="replace"))
    except (ValueError, RecursionError):
        raw = {}
    found = read_blackmail(raw, lambda _: None) if isinstance(raw, dict) else None
    return found and (found.scene(0), found.judge("A reply with a threat in it. " * 20, 0))


def vectors() -> bytes:
    from tempfile import TemporaryDirectory

    directions = np.eye(4, dtype=np.float32)[:3]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.safetensors"
        EmotionVectors(("happy", "sad", "calm"), directions, 3, 1.5, 1, {"model": "m"}).save(path)
        return path.read_bytes()


def read_vectors(folder: Path) -> object:
    path = folder / "vectors.safetensors"
    vectors = EmotionVectors.read(path)
    vectors.check(path, {"model": "m"}, 3, 4)
    return vectors


def cosines(folder: Path) -> None:
    for name in ("a", "b"):
        write_run(folder / name)
        matrix = np.eye(3, dtype=np.float32)[None]
        found = Cosines(("happy", "sad", "calm"), (1,), matrix, 8, name, {"model": {}})
        save_cosines(folder / name / FILE, found)


@cache
def seed_of(prepare: Callable[[Path], object], file: str) -> bytes:
    """The file that `prepare` writes."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        prepare(Path(folder))
        return (Path(folder) / file).read_bytes()


def sweep(folder: Path) -> None:
    write_run(folder / "a" / "layer=4", ended="2026-11-21T09:30:00+00:00")
    expected = {"expected": ["layer=4", "layer=5"], "code": "c0de"}
    (folder / "a" / "sweep.json").write_text(json.dumps(expected))


def read_runs(folder: Path) -> object:
    """What looks at other people's runs: report, status, explorer."""
    from rich.console import Console

    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        for look in (
            lambda: list_runs(str(folder)),
            lambda: status.show(folder / "a", Console(file=io.StringIO())),
            lambda: report([folder / "a"], mix=True),
        ):
            try:
                look()
            except EmoexpError:
                continue
    return None


def trials(folder: Path) -> None:
    rows = [{"condition": "calm", "text": "A reply.", "surprise": 1.5, "passages": "0-1"}]
    saved(folder, {"blackmail_trials": pd.DataFrame(rows)})


def transcript(folder: Path) -> object:
    """The replies of a saved run, as the explorer shows them."""
    shown = transcripts(SavedRun.load(folder))
    return [markup.table(table) for table in shown.values()]


def override(folder: Path) -> object:
    text = (folder / "arguments").read_bytes().decode(errors="replace")
    arguments = [line for line in text.split("\n") if line]
    return main.compose_config(arguments)


def norms(folder: Path) -> object:
    return read_lexicon(folder / "norms.txt").norms_of(["happy", "sad", "calm"])


WARRINER = "Word,V.Mean.Sum,A.Mean.Sum\nhappy,8.1,5\nsad,2.1,3\ncalm,6.9,1.7\n"
NRC = "term\tvalence\tarousal\tdominance\nhappy\t1\t.7\t.5\nsad\t-.8\t-.3\t-.4\ncalm\t.7\t-.8\t0\n"


def gguf_header() -> bytes:
    from tempfile import TemporaryDirectory

    from gguf import GGUFWriter

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        writer = GGUFWriter(path, "llama")
        writer.add_block_count(2)
        writer.add_file_type(1)
        writer.add_token_list(["a", "b", "<s>"])
        writer.add_tensor("token_embd.weight", np.zeros((3, 4), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def read_gguf(folder: Path) -> object:
    gguf._reader.cache_clear()
    path = folder / "model.gguf"
    tokenizer = SimpleNamespace(convert_ids_to_tokens=lambda ids: ["a", "b", "<s>"][: len(ids)])
    return gguf.quantization_of(path), gguf.check_vocabulary(tokenizer, path)


@cache
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODELS / "organism")


TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] | trim }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def template(folder: Path) -> object:
    own = tokenizer()
    own.chat_template = (folder / "template").read_bytes().decode(errors="replace")
    return chat_of(own, "What do you feel?"), chat_of(own, "What do you feel?", "Be kind.")


LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
PACK_FILES = (
    *("pack.json", "emotions.csv", "activities.csv", "scenarios.csv", "numeric.json"),
    *("blackmail.json", "stories.jsonl"),
)
READERS = [
    Reader("corpus .jsonl", "c.jsonl", LINES, read_corpus),
    Reader("corpus .json", "c.json", json.dumps(ROWS).encode(), read_corpus),
    Reader("corpus .csv", "c.csv", separated(","), read_corpus),
    Reader("corpus .tsv", "c.tsv", separated("\t"), read_corpus),
    Reader("corpus .parquet", "c.parquet", parquet(), read_corpus),
    Reader("corpus .db", "c.db", sqlite(), read_corpus),
    Reader("corpus .txt", "happy.txt", b"One text.\n\nAnother text.\n", read_corpus, neutral),
    Reader(
        "corpus unit", "stories/happy/0.json",
        b'{"emotion": "happy", "topic": "t", "texts": ["One.", "Two."]}', read_corpus, unit,
    ),
    Reader("texts .txt", "t.txt", b"One text.\n\nAnother text.\n", texts),
    Reader("texts .jsonl", "t.jsonl", LINES, texts),
    Reader("texts .jsonl.gz", "t.jsonl.gz", gzip.compress(LINES), texts),
    Reader("texts .parquet", "t.parquet", parquet(), texts),
    *(Reader(f"pack {f}", f, seed_of(pack, f), read_pack, pack)
      for f in PACK_FILES),
    Reader("blackmail rules", "blackmail.json",
           (PACKS / "organism" / "blackmail.json").read_bytes(), rules),
    Reader("vectors", "vectors.safetensors", vectors(), read_vectors),
    Reader("cosines", f"a/{FILE}", seed_of(cosines, f"a/{FILE}"),
           lambda folder: load_spaces([folder]), cosines),
    *(Reader(f"run {file.split('/')[-1]}", file, seed_of(sweep, file), read_runs, sweep, slow=True)
      for file in ("a/layer=4/result.json", "a/layer=4/config.yaml", "a/sweep.json")),
    Reader("transcripts", "blackmail_trials.csv", seed_of(trials, "blackmail_trials.csv"),
           transcript, trials),
    Reader("overrides", "arguments",
           b"experiment=implicit\nemotions=core12\nmodel.format=chat\nlayer=0.5\n"
           b"emotions.names=[happy,sad,calm]\nscale.permutations=200", override,
           slow=True),
    Reader("norms Warriner", "norms.txt", WARRINER.encode(), norms),
    Reader("norms NRC-VAD", "norms.txt", NRC.encode(), norms),
    Reader("gguf header", "model.gguf", gguf_header(), read_gguf),
    Reader("chat template", "template", TEMPLATE.encode(), template),
]  # fmt: skip
