"""Norms files of every layout, with made-up words and numbers; none of a real lexicon is in the
repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoexp.errors import EmoexpError
from emoexp.stimuli.norms import read_lexicon

WORDS = ("blorp", "at ease", "zemmy", "quone")
VALENCE = {"blorp": -0.5, "at ease": 0.25, "zemmy": 1.0}
AROUSAL = {"blorp": 0.5, "at ease": -0.75, "zemmy": 0.0}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


LAYOUTS = {
    "NRC-VAD v1": (
        "Word\tValence\tArousal\tDominance\nblorp\t0.25\t0.75\t0.1\nat"
        " ease\t0.625\t0.125\t0.2\nzemmy\t1.000\t0.5\t0.3\nother\t0\t0\t0\n"
    ),
    "NRC-VAD v2": (
        "term\tvalence\tarousal\tdominance\nblorp\t-0.5\t0.5\t-0.1\nat"
        " ease\t.25\t-0.75\t0\nzemmy\t1\t0\t0.3\n"
    ),
    "Warriner et al. 2013": (
        ',Word,V.Mean.Sum,V.SD.Sum,A.Mean.Sum,D.Mean.Sum,V.Mean.M\n1,blorp,3,1.5,7,5,NA\n2,"at'
        ' ease",6,1,2,5,NA\n3,zemmy,9,1,5,5,NA\n'
    ),
    "Russell and Mehrabian 1977": (
        "Term,Pleasure mean (SD),Arousal mean (SD),Dominance mean (SD)\n"
        "Blorp,\u2212.50 (.20),.50 (.3),0\nAt_ease,.25 (.1),-.75,0\nZemmy,1.0,0,0\n"
    ),
    "NRC-VAD v2 (extract)": (
        "emotion,valence,arousal,source\nblorp,-0.5,0.5,nrc_vad\n"
        "at ease,0.25,-0.75,nrc_vad_mwe\nzemmy,1,0,nrc_vad\nquone,0.1,0.1,estimate_from_zemmy\n"
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_told_and_mapped(layout: str, tmp_path: Path) -> None:
    path = write(tmp_path / "norms.csv", LAYOUTS[layout])
    norms = read_lexicon(path).norms_of(WORDS)
    assert norms.layout == layout
    assert norms.valence == pytest.approx(VALENCE)
    assert norms.arousal == pytest.approx(AROUSAL)
    assert list(norms.valence) == ["blorp", "at ease", "zemmy"]


def test_nrc_without_a_header(tmp_path: Path) -> None:
    for name in ("NRC-VAD v1", "NRC-VAD v2"):
        path = write(tmp_path / "norms.txt", LAYOUTS[name].split("\n", 1)[1])
        norms = read_lexicon(path).norms_of(WORDS)
        assert (norms.layout, norms.valence) == (name, pytest.approx(VALENCE))


def test_absent_words_stay_absent_and_too_few_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "norms.txt", LAYOUTS["NRC-VAD v1"])
    norms = read_lexicon(path).norms_of(WORDS)
    assert "quone" not in norms.valence
    assert norms.unrated == ["quone"]
    with pytest.raises(EmoexpError, match="has 2 of the 4 emotions: at least 3"):
        read_lexicon(path).norms_of(("blorp", "zemmy", "quone", "vit"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,score\na,1\n", "header 'name, score' is of no norms"),
        ("emotion,valence,arousal\na,0.1,-0.2\n", "is of no norms"),
        ("", "is empty"),
        (
            LAYOUTS["Warriner et al. 2013"].replace("zemmy,9", "zemmy,9.5"),
            "line 4: 9.5 is not on the scale 1 to 9",
        ),
        (
            LAYOUTS["Warriner et al. 2013"].replace("blorp,3", "blorp,NA"),
            "line 2: 'NA' is no number",
        ),
        (LAYOUTS["NRC-VAD v2"].replace("\t.25\t", "\tnan\t"), "line 3: 'nan' is no number"),
        (LAYOUTS["NRC-VAD v2"] + "blorp\t0.5\t0.5\t0\n", "line 5: 'blorp' is rated a second time"),
        (LAYOUTS["NRC-VAD v2"] + "short\t-1\n", "line 5: 2 fields, too few"),
        ("term\tvalence\tarousal\tdominance\nblorp\t0.5\t0.5\t0.1\n", "no value is negative"),
        (
            LAYOUTS["NRC-VAD v1"] + "w\t0.5\t0.5\t0.5\n" * 95 + "x\t-0.1\t0.5\t0.5\n",
            "line 101: -0.1 is not on the scale 0 to 1",
        ),
    ],
)
def test_faults_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "norms.txt", text)
    with pytest.raises(EmoexpError, match=message) as error:
        read_lexicon(path).norms_of(WORDS)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_all_faults_are_told_twenty_listed(tmp_path: Path) -> None:
    path = write(
        tmp_path / "norms.txt",
        LAYOUTS["NRC-VAD v2"] + "".join(f"w{i}\t9\t0\t0\n" for i in range(25)),
    )
    with pytest.raises(EmoexpError, match="has 25 malformed") as error:
        read_lexicon(path).norms_of(WORDS)
    assert str(error.value).count("is not on the scale") == 20
    assert str(error.value).endswith("and 5 more")


def test_missing_and_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(EmoexpError, match="no such file, and the norms of packages are nrc_vad"):
        read_lexicon(tmp_path / "none.csv").norms_of(WORDS)
    with pytest.raises(EmoexpError, match="a folder, not a file"):
        read_lexicon(tmp_path).norms_of(WORDS)
    (tmp_path / "latin.csv").write_bytes(b"Word,V.Mean.Sum\nbl\xf6rp,3\n")
    with pytest.raises(EmoexpError, match="not UTF-8"):
        read_lexicon(tmp_path / "latin.csv").norms_of(WORDS)
