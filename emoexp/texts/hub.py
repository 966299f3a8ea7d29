"""Sets of texts by what names them, and data sets of the Hugging Face hub through `datasets`.

The presets are the two kinds of text that gemotions projects, the Pile and LMSYS-Chat-1M. Its page
names the sets, not their ids: these are the ones that public code reads today (the Pile's first
repository is no longer there). LMSYS-Chat-1M is gated.

`datasets` from version 4 on runs no code of a repository.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emoexp.errors import EmoexpError, require
from emoexp.models.loading.hub_errors import explained
from emoexp.textfiles import kind_of
from emoexp.texts.sources import (
    HUB,
    Options,
    Parts,
    TextSet,
    choose_column,
    draw_documents,
    read_local,
    text_of,
)

PRESETS = {"pile": "hf:monology/pile-uncopyrighted", "lmsys": "hf:lmsys/lmsys-chat-1m"}
BUFFER = 10_000
"""Documents among which a random one of a data set is drawn, as `datasets` shuffles a stream."""
HUB_NAME = re.compile(
    r"(?P<id>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?"
)


def open_texts(source: str, options: Options, shuffle_seed: int | None = None) -> TextSet:
    """Returns the set that `source` names: a path, hf:<owner>/<name>[:config][@revision],
    hf:<folder>, or a preset.

    Args:
        shuffle_seed: shuffles a data set of the hub; other sets are in their own order.

    Raises:
        EmoexpError: it names nothing that can be read, or `datasets` is not installed.
    """
    given = PRESETS.get(source, source)
    if not given.startswith(HUB):
        path = Path(given).expanduser()
        name = path.name if kind_of(path) == "folder" else path.name.split(".")[0]
        return TextSet(name or given, source, lambda: read_local(path, options))
    wanted = given.removeprefix(HUB)
    name = source if source in PRESETS else wanted.rstrip("/").rpartition("/")[2]

    def read() -> Parts:
        return _read_rows(_load(wanted, options, shuffle_seed), options, source)

    return TextSet(name, source, read, endless=True)


def open_sets(
    sources: Sequence[str], options: Options, documents: int | None, random_seed: int | None
) -> list[TextSet]:
    """Opens sets, and reads each once, so that a mistake is found before a model runs; of a data
    set of the hub two documents are read.

    Args:
        documents: of each set that will be read; None is all.
        random_seed: draws the documents at random; None takes the first ones.

    Raises:
        EmoexpError: there is no set, or one cannot be read.
    """
    presets = ", ".join(PRESETS)
    some = f"experiment.texts=[]: name files, folders, {HUB}<owner>/<name>, or a preset ({presets})"
    require(len(sources) > 0, some)
    sets = [open_texts(source, options, random_seed) for source in sources]
    for i, texts in enumerate(sets):
        endless = texts.endless and documents is None
        require(not endless, f"experiment.documents=null: {texts.source} needs a number")
        texts.count(2 if texts.endless else documents)
        if random_seed is not None and not texts.endless and documents is not None:
            sets[i] = draw_documents(texts, documents, random_seed)
    return name_apart(sets)


def name_apart(sets: list[TextSet]) -> list[TextSet]:
    """Returns the sets, with a number behind each name that an earlier one has."""
    named: list[TextSet] = []
    for texts in sets:
        taken, name = {t.name for t in named}, texts.name
        numbers = itertools.count(2)
        while name in taken:
            name = f"{texts.name} ({next(numbers)})"
        named.append(replace(texts, name=name))
    return named


def _load(wanted: str, options: Options, shuffle_seed: int | None) -> Any:
    """Opens a data set as a stream.

    Raises:
        EmoexpError: `datasets` is not installed, or the set cannot be loaded.
    """
    try:
        import datasets
    except ImportError as error:
        raise EmoexpError(
            f"experiment.texts: {HUB}{wanted} needs the library `datasets`: pip install"
            " 'emoexp[texts]'"
        ) from error
    what = f"experiment.texts: {HUB}{wanted} (split {options.split})"
    folder, match = Path(wanted).expanduser(), HUB_NAME.fullmatch(wanted)
    if not folder.is_dir() and match is None:
        raise EmoexpError(f"{what} is neither a folder nor <owner>/<name>[:config][@revision]")
    datasets.disable_progress_bars()
    with explained(what):
        if folder.is_dir() and _is_saved(folder):
            saved = datasets.load_from_disk(str(folder))
            whole = saved[options.split] if isinstance(saved, dict) else saved
            rows = whole.to_iterable_dataset()
        elif folder.is_dir():
            rows = datasets.load_dataset(str(folder), split=options.split, streaming=True)
        else:
            assert match is not None
            how = {"revision": match["revision"], "split": options.split, "streaming": True}
            rows = datasets.load_dataset(match["id"], match["config"], **how)
        if shuffle_seed is not None:
            rows = rows.shuffle(seed=shuffle_seed, buffer_size=BUFFER)
    return rows


def _is_saved(folder: Path) -> bool:
    """Tells whether a folder was written by `save_to_disk`."""
    return any((folder / name).exists() for name in ("state.json", "dataset_dict.json"))


def _read_rows(rows: Any, options: Options, source: str) -> Parts:
    """Yields the text of each row of a data set."""
    iterator, what = iter(rows), f"experiment.texts: {source}"
    for i in itertools.count(1):
        with explained(what):
            row = next(iterator, None)
        if row is None:
            return
        column = choose_column(list(row), options.column, what)
        yield f"row {i}", [text_of(row[column], f"{what}, row {i}")]
