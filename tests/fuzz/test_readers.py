"""Fuzzed files in every reader: the only error is an EmoexpError of one line, no case takes a
second of CPU, and memory stays bounded. `make fuzz` has 10,000 cases each, CI 200."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emoexp.errors import EmoexpError, one_line
from tests.fuzz.readers import READERS, Reader

CASES = int(os.environ.get("EMOEXP_FUZZ", 0))
CI_CASES, CI_CASES_SLOW = 200, 50
CPU_S, MEMORY = 1.0, 2 << 30
TOKENS = [
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b'"', b"'", b",", b"\t", b"{", b"}", b"$",
    b"[" * 5000, b"{" * 3000, b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"\\ud800", b"\\u0000",
    b"null", b"true", b"{}", b"../../etc/passwd", b"<script>", b"${oc.env:HOME}", b"{{", b"{%",
    b"x" * 200_000, b"=cmd()", b"\xe2\x80\xae", b"!!python/object/apply:os.system [id]", b"&a *a",
]  # fmt: skip
"""What readers stumble over."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def edited(draw: st.DrawFn, seed: bytes) -> bytes:
    """The bytes with up to six pieces deleted, doubled, replaced or put in."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 64)))
        kind = draw(st.sampled_from(("delete", "double", "token", "bytes", "cut")))
        if kind == "delete":
            del data[start:end]
        elif kind == "double":
            data[start:start] = data[start:end]
        elif kind == "cut":
            del data[start:]
        else:
            new = st.sampled_from(TOKENS) if kind == "token" else st.binary(max_size=12)
            data[start:end] = draw(new)
    return bytes(data)


@st.composite
def other_json(draw: st.DrawFn, seed: bytes) -> bytes:
    """Valid JSON in which some values of the seed are other ones, or are not there."""
    content = json.loads(seed)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = {"": content}, ""
        while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 3)):
            holder = holder[key]  # type: ignore[assignment]
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            key = draw(st.sampled_from(keys))  # type: ignore[assignment,type-var]
        if draw(st.booleans()):
            holder[key] = draw(JSON)
        elif holder.keys() != {""} if isinstance(holder, dict) else True:
            del holder[key]
        content = holder[""] if isinstance(holder, dict) and set(holder) == {""} else content
    return json.dumps(content).encode()


def cases_of(reader: Reader) -> st.SearchStrategy[bytes]:
    kinds = edited(reader.seed) | st.binary(max_size=300)
    try:
        json.loads(reader.seed)
    except ValueError:
        return kinds
    return other_json(reader.seed) | kinds


class TooSlowError(BaseException):
    """A case took longer than `CPU_S` of CPU."""


def too_slow(*_: Any) -> None:
    raise TooSlowError


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_fuzzed_file_is_read_or_refused_in_one_line(reader: Reader, tmp_path: Path) -> None:
    outcome: Counter[str] = Counter()
    path = tmp_path / reader.file
    reader.prepare(tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGVTALRM, too_slow)

    @settings(
        max_examples=CASES or (CI_CASES_SLOW if reader.slow else CI_CASES),
        deadline=None,
        database=None,
        derandomize=CASES <= 1000,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(cases_of(reader))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S)
        try:
            reader.read(tmp_path)
            outcome["read"] += 1
        except EmoexpError as error:
            assert "\n" not in one_line(error)
            outcome["refused"] += 1
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    path.write_bytes(reader.seed)
    reader.read(tmp_path)  # the seed is valid, and what is loaded once is loaded
    limits = resource.getrlimit(resource.RLIMIT_AS)
    start = time.process_time()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
    try:
        check()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        took = f"{time.process_time() - start:.1f} s of CPU"
        print(f"\nfuzz {reader.name}: {outcome.total()} cases, {dict(outcome)}, {took}")  # noqa: T201
