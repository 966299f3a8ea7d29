"""A stored result is keyed by what it read, and by nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from emoexp.config import PromptFormat, SteeringSpan
from emoexp.errors import EmoexpError
from emoexp.models.loading.load import load_network
from emoexp.models.prompts import Prompt, prompts_key
from emoexp.models.subject import SubjectModel
from emoexp.steering.preference import Preferences
from emoexp.stimuli import Stimuli
from emoexp.store.artifacts import Artifacts
from emoexp.stories.corpus import Corpus, Story
from emoexp.vectors.extraction import extract
from emoexp.vectors.probes import assistant_residuals
from tests.helpers.saved_models import model, save_tiny

EMOTIONS = ("happy", "sad", "calm")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("saved") / "tiny")


def files(store: Path) -> set[Path]:
    return set(store.rglob("*.safetensors"))


def edited(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A change of a file of a model's folder."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def added(name: str, content: dict[str, object]) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(json.dumps(content)) and None


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda folder: None, True),  # only moved
        (added("README.json", {"a": 1}), True),
        (edited("chat_template.jinja", "Human: ", "User: "), True),  # the prompts have it
        (edited("config.json", '"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'), False),
        (edited("tokenizer.json", '"normalizer": null', '"normalizer": {"type": "NFC"}'), False),
        (edited("tokenizer_config.json", '"pad_token": "<pad>"', '"pad_token": "<eos>"'), False),
        (added("special_tokens_map.json", {"bos_token": "<eos>"}), False),
    ],
    ids=["moved", "readme", "template", "config", "normalizer", "pad", "special tokens"],
)
def test_a_model_is_known_by_its_weights_and_by_the_tokenizer_that_is_built(
    saved: Path, tmp_path: Path, change: Callable[[Path], None], same: bool
) -> None:
    copy = Path(shutil.copytree(saved, tmp_path / "moved, elsewhere"))
    change(copy)
    one = SubjectModel.load(model(saved))
    two = SubjectModel.load(model(copy, batch_tokens=77, device="cpu"))
    assert (one.identity == two.identity) is same


def test_a_template_is_in_the_prompts_that_it_writes(saved: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(saved, tmp_path / "copy"))
    chats = {}
    for name, old, new in (
        ("same", "{{ bos_token }}", "{{ bos_token }}{% if tools %}tools{% endif %}"),
        ("other", "Human: ", "User: "),
    ):
        shutil.copytree(saved, copy, dirs_exist_ok=True)
        edited("chat_template.jinja", old, new)(copy)
        chats[name] = SubjectModel.load(model(copy, format=PromptFormat.chat))
    chat = SubjectModel.load(model(saved, format=PromptFormat.chat))
    keys = {name: prompts_key([m.ask(Prompt("How?"))]) for name, m in chats.items()}
    assert keys["same"] == prompts_key([chat.ask(Prompt("How?"))]) != keys["other"]


def test_a_generation_is_keyed_by_the_settings_of_the_model(saved: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(saved, tmp_path / "copy"))
    (copy / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.1}))
    one, two = SubjectModel.load(model(saved)), SubjectModel.load(model(copy))
    assert one.identity == two.identity
    assert one.generation_identity != two.generation_identity


@pytest.mark.parametrize("repo_id", ["bundled:organism", "saved"])
def test_a_revision_of_what_is_on_this_machine_is_refused(saved: Path, repo_id: str) -> None:
    repo = str(saved) if repo_id == "saved" else repo_id
    with pytest.raises(
        EmoexpError, match="model.revision='abc': .* has no revisions: leave it out"
    ):
        load_network(model(repo, revision="abc"))
    with pytest.raises(EmoexpError, match="model.sha256='abc' .* model.wheels, .*: leave it out"):
        load_network(model(repo, sha256="abc"))


def test_preferences_are_keyed_by_the_prompts_and_not_by_the_pack(
    tiny: SubjectModel, pack: Stimuli
) -> None:
    first, *others = pack.activities
    worded = replace(pack, activities=(replace(first, text="rest"), *others))
    asked = replace(pack, templates=pack.templates | {"preference": "{a} or {b}? (A) (B)"})
    turned = replace(pack, activities=(replace(first, steered=not first.steered), *others))
    unread = replace(pack, sha256="0" * 64, name="b", scenarios=pack.scenarios[:3], topics=())
    own = Preferences(tiny, pack)
    assert Preferences(tiny, unread).identity == own.identity
    assert Preferences(tiny, turned).identity == own.identity
    assert Preferences(tiny, worded).identity != own.identity
    assert Preferences(tiny, asked).identity != own.identity
    span = SteeringSpan.steered_activity
    assert Preferences(tiny, turned).steered_identity(span) != own.steered_identity(span)


def test_one_changed_prompt_is_one_row_to_compute(tiny: SubjectModel, tmp_path: Path) -> None:
    store, texts = Artifacts(tmp_path), {"happy": ["One."], "sad": ["Two.", "Three."]}
    assistant_residuals(tiny, store, texts, 1)
    before = files(tmp_path)
    assistant_residuals(tiny, store, dict(reversed(texts.items())), 2)
    assert files(tmp_path) == before
    assistant_residuals(tiny, store, texts | {"sad": ["Two.", "Four."]}, 1)
    assert len(files(tmp_path) - before) == 1


def test_one_changed_story_is_one_row_to_compute(
    tiny: SubjectModel, corpus: Corpus, tmp_path: Path
) -> None:
    def computed(changed: Corpus) -> list[str]:
        before = files(tmp_path)
        extract(tiny, changed, EMOTIONS, Artifacts(tmp_path), 2)
        return sorted(path.relative_to(tmp_path).parts[0] for path in files(tmp_path) - before)

    chosen = [s for e in EMOTIONS for s in corpus.by_emotion[e][:2]]
    small = replace(corpus, stories=tuple(chosen), neutral=corpus.neutral[:2])
    assert computed(small) == ["neutral", *["stories"] * 3]
    mixed = tuple(chosen[i] for i in (4, 2, 0, 5, 3, 1))
    assert computed(replace(small, stories=mixed)) == [], "emotions in another order"
    more = Story("kind", "t", "A cart rolled by. " * 30)
    assert computed(replace(small, stories=(*chosen, more))) == [], "another emotion"
    assert computed(replace(small, neutral=small.neutral[::-1])) == ["neutral"]
    longer = replace(chosen[0], text=chosen[0].text + " The end.")
    assert computed(replace(small, stories=(longer, *chosen[1:]))) == ["stories"]


def test_another_version_of_transformers_computes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Artifacts(tmp_path)
    before = store.path("kind", {}, "row")
    assert store.path("kind", {}, "row") == before
    monkeypatch.setattr("emoexp.store.artifacts.versions", lambda: {"transformers": "99.0"})
    assert store.path("kind", {}, "row") != before
