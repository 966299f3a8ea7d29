"""Norms of packages that lie on the path in the form of the real ones, with made-up words and
numbers; and the real VADER where it is installed."""

from __future__ import annotations

import hashlib
import math
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

from emoexp.cli.run import add_norms
from emoexp.errors import EmoexpError
from emoexp.stimuli import Stimuli
from emoexp.stimuli.norms import PACKAGES, packages, read_lexicon, sign_note, sign_table
from emoexp.study.result import Result
from emoexp.study.study import Study
from tests.helpers.records import record
from tests.helpers.studies import composed

WORDS = ("blorp", "at ease", "zemmy", "quone", "grum-lost")
NRC_VAD = "shifterator/lexicons/NRC-VAD/NRC-VAD_{}_English.tsv"
VALENCE = "zemmy\t1.000\nat ease\t0.625\nblorp\t0.250\ngrum\t0.1\n"
AROUSAL = "blorp\t0.750\nzemmy\t0.500\ngrum\t0.1\nat ease\t0.125\n"
FORMS = {
    "nrc_vad": {NRC_VAD.format("valence"): VALENCE, NRC_VAD.format("arousal"): AROUSAL},
    "warriner": {
        "labMTsimple/data/WK/BRM-emot-submit.csv": (
            ",Word,V.Mean.Sum,V.SD.Sum,A.Mean.Sum\n1,blorp,3,1.5,7\n2,at-ease,6,1,2\n3,zemmy,9,1,5\n"
        )
    },
    "vader": {
        "vaderSentiment/vader_lexicon.txt": (
            "$:\t-1.5\t0.80623\t[-1, -1, -3]\nblorp\t-2.0\t0.5\t[-2, -2]\n"
            "at ease\t1\t0.5\t[1, 1]\nzemmy\t4.0\t0\t[4, 4]\n"
        )
    },
    "afinn": {"afinn/data/AFINN-en-165.txt": "blorp\t-2\nat ease\t1\nzemmy\t5\ncan't zem\t-3\n"},
}
SCALED = {
    "nrc_vad": (-0.5, 0.25, 1.0),
    "warriner": (-0.5, 0.25, 1.0),
    "vader": (-0.5, 0.25, 1.0),
    "afinn": (-0.4, 0.2, 1.0),
}


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, before the real ones, with the fake of each name."""
    site = tmp_path / "site"
    for name, files in FORMS.items():
        package = PACKAGES[name].name
        for file, text in files.items():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text(text, encoding="utf-8")
        info = site / f"{package}-9.8.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 9.8\n")
    monkeypatch.syspath_prepend(str(site))
    return site


def study(pack: Stimuli, tmp_path: Path, *overrides: str) -> Study:
    """A study of WORDS."""
    config = composed("correlation", tmp_path, *overrides).config
    return Study.of(config, stimuli=pack, emotions=WORDS)


@pytest.mark.parametrize("name", PACKAGES)
def test_ratings_are_scaled_and_told_with_package_version_and_hash(name: str, site: Path) -> None:
    norms = read_lexicon(name).norms_of(WORDS)
    assert norms.valence == pytest.approx(
        dict(zip(("blorp", "at ease", "zemmy"), SCALED[name], strict=True))
    )
    rated = {"blorp": 0.5, "at ease": -0.75, "zemmy": 0.0}
    assert norms.arousal == (rated if name in ("nrc_vad", "warriner") else {})
    assert norms.origin == f"{PACKAGES[name].name} 9.8"
    assert norms.sha256 == {
        Path(f).name: hashlib.sha256((site / f).read_bytes()).hexdigest() for f in FORMS[name]
    }


def test_coverage_names_what_has_no_rating_and_never_takes_a_part_of_an_emotion() -> None:
    assert read_lexicon("nrc_vad").norms_of(WORDS).coverage() == (
        "norms NRC-VAD v1 (shifterator 9.8): 3 of 5 emotions; without a rating: quone, grum-lost"
    )
    assert read_lexicon("vader").norms_of(WORDS[:3]).coverage() == (
        "norms VADER (vaderSentiment 9.8): 3 of 3 emotions; the source has no arousal"
    )
    assert "rated by its author alone" in read_lexicon("afinn").norms_of(WORDS).layout


def test_a_words_own_hyphens_come_first(site: Path) -> None:
    file = site / "afinn/data/AFINN-en-165.txt"
    file.write_text("blorp\t-2\nzemmy\t5\ngrum lost\t-1\ngrum-lost\t-4\n", encoding="utf-8")
    assert read_lexicon("afinn").norms_of(WORDS).valence["grum-lost"] == pytest.approx(-0.8)
    file.write_text("blorp\t-2\nzemmy\t5\nGrum lost\t-1\n", encoding="utf-8")
    assert read_lexicon("afinn").norms_of(WORDS).valence["grum-lost"] == pytest.approx(-0.2)
    file.write_text("blorp\t-2\nzemmy\t5\nquone\t1\nzemmy\t4\n", encoding="utf-8")
    with pytest.raises(EmoexpError, match=r"line 4: 'zemmy' is rated a second time \(first in li"):
        read_lexicon("afinn").norms_of(WORDS)


def test_a_name_is_a_package_and_a_file_of_that_name_needs_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vader").write_text("term\tvalence\tarousal\tdominance\nblorp\t-0.9\t0.5\t0\n")
    assert read_lexicon("vader").layout == "VADER"
    assert read_lexicon("./vader").layout == "NRC-VAD v2"
    with pytest.raises(EmoexpError, match="norms=vadr cannot be read.* nrc_vad, warriner, vader"):
        read_lexicon("vadr")


def test_a_missing_package_and_another_version_are_one_line(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "vaderSentiment/vader_lexicon.txt").unlink()
    with pytest.raises(EmoexpError, match=r"vaderSentiment 9.8 has no vaderSentiment/vader_lex.*'"):
        read_lexicon("vader")

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)
    with pytest.raises(EmoexpError) as error:
        read_lexicon("vader")
    needed = "emotions.norms=vader needs the package vaderSentiment: pip install 'emoexp[norms]'"
    assert str(error.value) == f"{needed} (a file of that name is ./vader)"


def test_ratings_off_the_scale_and_files_that_differ_are_refused(site: Path) -> None:
    (site / "vaderSentiment/vader_lexicon.txt").write_text("blorp\t-4.5\t0\t[]\n")
    with pytest.raises(EmoexpError, match=r"line 1: -4.5 is not on the scale -4 to 4"):
        read_lexicon("vader")
    for text in (AROUSAL.replace("zemmy", "zem"), AROUSAL + "blorp\t0.1\n"):
        (site / NRC_VAD.format("arousal")).write_text(text)
        with pytest.raises(EmoexpError, match="do not rate the same words once each"):
            read_lexicon("nrc_vad")


def test_signs_of_the_pack_that_contradict_the_norms_are_named() -> None:
    norms = read_lexicon("vader").norms_of(WORDS)
    table = sign_table(norms, {"blorp": -1.0, "at ease": -1.0, "grum-lost": -1.0})
    assert list(table["emotion"]) == list(WORDS)
    np.testing.assert_array_equal(table["same_sign"], [1, 0, math.nan, math.nan, math.nan])
    assert table["arousal"].isna().all()
    assert sign_note(table) == (
        "norms and the pack's signs of valence: the same for 1 of 2 emotions"
        " (0.50, 95 % 0.09 to 0.91); of the other sign: at ease +0.25"
    )
    assert sign_note(sign_table(norms, {"zemmy": 0.0})).endswith("no emotion has both")


def test_a_run_says_where_its_valence_is_from(
    pack: Stimuli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = study(pack, tmp_path, "emotions.norms=warriner")
    assert set(here.valence) == {"blorp", "at ease", "zemmy"}
    coverage = "norms Warriner et al. 2013 (labMTsimple 9.8): 3 of 5 emotions"
    assert coverage in capsys.readouterr().err
    run, result = record(), Result()
    add_norms(run, result, here)
    assert run.provenance["norms"]["source"] == "warriner"
    assert run.provenance["norms"]["unrated"] == ["quone", "grum-lost"]
    assert list(result.tables) == ["norms"]
    assert result.notes[0].startswith(coverage)

    without, result = study(pack, tmp_path), Result()
    assert without.valence is pack.valence
    add_norms(run, result, without)
    assert result == Result()


def test_norms_that_cannot_be_read_are_told_before_the_model_is_loaded(
    pack: Stimuli, tmp_path: Path
) -> None:
    here = study(pack, tmp_path, "emotions.norms=none.csv")
    with pytest.raises(EmoexpError, match=r"emotions.norms=none.csv cannot be read"):
        _ = here.model


def test_the_real_vader(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    try:
        installed = version("vaderSentiment")
    except PackageNotFoundError:
        pytest.skip("vaderSentiment is not installed: pip install 'emoexp[norms]'")
    norms = read_lexicon("vader").norms_of(("happy", "sad", "furious", "content"))
    assert norms.origin == f"vaderSentiment {installed}"
    assert norms.unrated == ["content"]
    assert norms.valence["sad"] < 0 < norms.valence["happy"] <= 1
