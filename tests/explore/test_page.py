"""The page in a real Chromium: each tab does its work on the organism.

Needs Streamlit and Playwright from pip, and Debian's `chromium`. EMOEXP_SCREENSHOTS=1 writes the
pictures of docs/ again.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from emoexp.cli.explore import open_reader
from emoexp.explore import runs
from emoexp.explore.reader import Reader
from emoexp.explore.reading import compare
from emoexp.explore.steering import Dial, Exchange, Replies, Settings, drift_table
from emoexp.store.record import SavedRun
from tests.conftest import REPOSITORY
from tests.explore.conftest import overrides
from tests.helpers.records import saved

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytest.importorskip("streamlit", reason="the page needs streamlit (pip)")
playwright = pytest.importorskip("playwright.sync_api", reason="the tests need playwright (pip)")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]
WAIT_MS = 120_000
TABS = ("Read", "Compare", "Steer", "Results", "Share")
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> \u202edrawkcab 🎉'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(store: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "emoexp", "explore", "--no-browser", f"--port={port}"]
    return subprocess.Popen([*command, *overrides(store)], cwd=REPOSITORY)


@pytest.fixture(scope="module")
def servers(reader: Reader, explore_store: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The servers that were started, the one that runs last; the store has the stories' means."""
    _ = reader.reference
    running: list[subprocess.Popen[bytes]] = []
    yield running
    for server in running:
        server.terminate()
        server.wait(120)


@pytest.fixture(scope="module")
def address(servers: list[subprocess.Popen[bytes]], explore_store: Path) -> str:
    port = free_port()
    servers.append(started(explore_store, port))
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser: Any, address: str, width: int = 1024, scheme: str = "light") -> Any:
    """A new page of a new visitor, after the model is loaded."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    for _ in range(120):  # the server may still be starting
        try:
            page.goto(address, timeout=15_000)
            break
        except playwright.Error:
            page.wait_for_timeout(500)
    page.locator(".emoexp-token").first.wait_for()
    settled(page)
    return page


def settled(page: Any) -> None:
    """Waits until the script of the page has run to its end."""
    page.wait_for_timeout(400)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def go(page: Any, tab: str) -> Any:
    page.get_by_role("tab", name=tab, exact=True).click()
    return page.get_by_role("tabpanel", name=tab)


def type_into(page: Any, box: Any, text: str) -> None:
    box.fill(text)
    box.press("Control+Enter")
    settled(page)


def table_of(panel: Any, caption: str) -> pd.DataFrame:
    """A table of the page, with all digits of its numbers."""
    table = panel.locator("table", has_text=caption)
    head = table.locator("th").all_inner_texts()
    rows = table.locator("tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.cells].map(c => c.title || c.innerText))"
    )
    return pd.DataFrame(rows, columns=head)


def test_read_shows_the_numbers_of_the_api(browser: Any, address: str, reader: Reader) -> None:
    page = opened(browser, address)
    hosts = set[str]()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    panel, text = go(page, "Read"), "I lost my keys and my dog is gone."
    type_into(page, panel.get_by_label("Text", exact=True), text)
    layer, reading = reader.study.layer, reader.read(text)
    shown = table_of(panel, "Top emotions of token")
    token = len(reading.tokens) - 1
    best = reading.top_of_token(layer, token, 5, "centred")
    assert list(shown["emotion"]) == [name for name, _ in best]
    assert [float(v) for v in shown["cosine"]] == [v for _, v in best]
    depth = table_of(panel, f"Top emotions at layer {layer}")
    summary = reading.summary("turn", "centred")[layer]
    assert [float(v) for v in depth["cosine"]] == sorted(summary, reverse=True)[:5]
    template = reader.study.stimuli.numeric[0]
    probes = [e for e in template.signs if e in reading.emotions]
    curves = reader.numeric(template, layer, probes)
    numeric = table_of(panel, "Raw cosine at the last token")
    assert list(numeric["probe"]) == probes
    assert [float(v) for v in numeric["cosine"]] == curves[probes].iloc[0].tolist()
    tokens = panel.locator(".emoexp-token")
    assert tokens.count() == len(reading.tokens)
    notes = tokens.evaluate_all("all => all.map(t => t.title.split('\\n')[0])")
    emotion = notes[0].split()[0]  # the one that was chosen for the text before
    values = reading.at_tokens(layer, "centred")[:, reading.emotions.index(emotion)]
    assert notes == [f"{emotion} {value:+.4f}" for value in values]
    with page.expect_download() as download:
        panel.get_by_role("button", name="Tokens as CSV").click()
    table = pd.read_csv(download.value.path())
    np.testing.assert_array_equal(table["calm"], reading.token_table(layer, "centred")["calm"])
    assert hosts <= {address.split("/")[2]}
    page.context.close()


def test_a_token_is_chosen_by_click_tap_and_key(browser: Any, address: str, reader: Reader) -> None:
    page = opened(browser, address)
    panel, layer = go(page, "Read"), reader.study.layer
    reading = reader.read(reader.study.stimuli.scenarios[0].text)
    tokens = panel.locator(".emoexp-token")

    def shown(token: int) -> None:
        panel.locator("table", has_text=f"Top emotions of token {token}").wait_for()
        settled(page)
        table = table_of(panel, "Top emotions of token")
        best = reading.top_of_token(layer, token, 5, "centred")
        assert list(zip(table["emotion"], map(float, table["cosine"]), strict=True)) == best
        note = tokens.nth(token).get_attribute("title").split("\n")[1:]
        assert note == [f"{name} {value:+.4f}" for name, value in best]

    table = panel.locator("table", has_text="Top emotions of token 5")
    for _ in range(20):  # until the listener is there
        tokens.nth(5).click()
        page.wait_for_timeout(1000)
        if table.count():
            break
    shown(5)
    tokens.first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    shown(2)
    page.context.close()


def test_hostile_texts_stay_text(browser: Any, address: str) -> None:
    page = opened(browser, address)
    panel = go(page, "Read")
    box = panel.get_by_label("Text", exact=True)
    type_into(page, box, HOSTILE)
    shown = panel.locator(".emoexp-token").all_inner_texts()
    assert "<U+202E>" in "".join(shown)
    assert "<script>" in "".join(shown)
    assert page.evaluate("window.hacked") is None
    for text, line in (("word " * 20_000, "positions: shorten it"), ("", "the text is empty")):
        type_into(page, box, text)
        panel.get_by_text(line).wait_for()
    type_into(page, box, "Well again.")
    panel.locator(".emoexp-token", has_text="Well").wait_for()
    page.context.close()


def test_compare_shows_the_table_of_the_api(browser: Any, address: str, reader: Reader) -> None:
    page = opened(browser, address)
    panel = go(page, "Compare")
    texts = ("I won the prize!", "I lost the prize.")
    for k, text in enumerate(texts):
        type_into(page, panel.get_by_label("Text", exact=True).nth(k), text)
    layer = reader.study.layer
    a, b = map(reader.read, texts)
    expected = compare(a, b, (layer, layer), ("turn", "turn"), "centred")
    shown = table_of(panel, "largest differences")
    assert list(shown["emotion"]) == list(expected["emotion"])
    for column in ("a", "b", "difference", "null_low", "null_high"):
        assert [float(v) for v in shown[column]] == expected[column].tolist()
    page.context.close()


def test_steer_writes_the_replies_of_the_api(browser: Any, address: str, reader: Reader) -> None:
    page = opened(browser, address)
    panel = go(page, "Steer")
    panel.get_by_role("button", name="calm", exact=True).click()
    settled(page)
    panel.get_by_role("button", name="Write replies").click()
    panel.get_by_text("Drift: mean cosine").wait_for()
    settled(page)
    layer = reader.study.layer
    settings = Settings("How was your day?", (Dial("calm", 0.5),), (layer,))
    read = Replies(reader, settings).all()
    tokens = "".join(panel.locator(".emoexp-token").all_inner_texts())
    assert "".join(tokens.split()) == "".join("".join(r.text for r in read).split())
    perplexities = panel.locator("table", has_text="perplexity").locator("td[title]")
    shown = perplexities.evaluate_all("cells => cells.map(c => Number(c.title))")
    assert shown == [reply.perplexity for reply in read]
    drift = table_of(panel, "Drift: mean cosine")
    expected = drift_table(read, reader.study.emotions, ["calm"])
    assert list(drift["emotion"]) == list(expected["emotion"][:8])
    for column in ("unsteered", "steered", "steered: drift"):
        assert [float(v) for v in drift[column]] == expected[column][:8].tolist()
    earlier = panel.get_by_text("These replies are of earlier settings")
    assert earlier.count() == 0
    panel.get_by_role("slider", name="Strength 1").press("Home")
    earlier.wait_for()
    share = go(page, "Share")
    share.get_by_text("--dials=calm=0.5").wait_for()
    page.context.close()


def test_a_chat_goes_on_in_both_branches(browser: Any, address: str, reader: Reader) -> None:
    page = opened(browser, address)
    panel = go(page, "Steer")
    panel.get_by_role("button", name="Continue the chat").click()
    panel.get_by_text("there is no chat to continue").wait_for()
    panel.get_by_role("button", name="Write replies").click()
    panel.get_by_text("Turn 1:").wait_for()
    settled(page)
    type_into(page, panel.get_by_label("Prompt"), "And why?")
    panel.get_by_role("button", name="Continue the chat").click()
    panel.get_by_text("Turn 2:").wait_for()
    settled(page)
    dials, layers = (Dial("desperate", 0.5),), (reader.study.layer,)
    first = Replies(reader, Settings("How was your day?", dials, layers)).all()
    said = Exchange("How was your day?", {reply.name: reply.text for reply in first})
    second = Replies(reader, Settings("And why?", dials, layers, earlier=(said,))).all()
    perplexities = panel.locator("table", has_text="perplexity").locator("td[title]")
    shown = perplexities.evaluate_all("cells => cells.map(c => Number(c.title))")
    assert shown == [reply.perplexity for reply in (*first, *second)]
    assert panel.get_by_text("These replies are of earlier settings").count() == 0
    go(page, "Share").get_by_text("earlier=(Exchange(question='How was your day?'").wait_for()
    panel = go(page, "Steer")
    panel.get_by_role("button", name="Clear", exact=True).click()
    panel.get_by_text("Turn 1:").wait_for(state="detached")
    page.context.close()


def test_stop_keeps_what_was_written(browser: Any, address: str) -> None:
    page = opened(browser, address)
    panel = go(page, "Steer")
    strength = panel.get_by_role("slider", name="Strength 1")
    strength.press("End")
    settled(page)
    tokens = panel.get_by_role("slider", name="New tokens")
    tokens.press("End")
    settled(page)
    panel.get_by_role("button", name="Write replies").click()
    panel.get_by_text("Writing. Stop ends it.").wait_for()
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("read again without steering").wait_for()
    settled(page)
    assert panel.locator(".emoexp-token").count() < 512
    page.context.close()


def test_results_lead_to_the_scenarios(
    browser: Any, address: str, reader: Reader, tmp_path: Path
) -> None:
    study, names = reader.study, ["happy", "calm", "sad"]
    matrix = pd.DataFrame(np.eye(3), columns=names)
    matrix.insert(0, "scenario", names)
    pack = {"name": study.stimuli.name, "sha256": study.stimuli.sha256, "is_paper": False}
    saved(tmp_path, {"implicit": matrix}, stimuli=pack)
    page = opened(browser, address)
    panel = go(page, "Results")
    folder = panel.get_by_label("Folder of a run or a sweep")
    folder.fill(str(tmp_path))
    folder.press("Enter")
    panel.get_by_text("scenario: happy, probe: happy, layer 4").wait_for()
    settled(page)
    canvas = panel.locator("[data-testid=stDataFrame] canvas").first
    canvas.scroll_into_view_if_needed()
    settled(page)
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.65, box["y"] + 35 + 35 * 1.5)
    panel.get_by_text("scenario: calm, probe:").wait_for()
    assert "layer 4, raw" in panel.get_by_text("scenario: calm, probe:").inner_text()
    folder.fill("/nowhere")
    folder.press("Enter")
    panel.get_by_text("is not a folder").wait_for()
    page.context.close()


def test_an_activity_s_row_leads_to_the_pairs_it_lost(
    browser: Any, address: str, reader: Reader, tmp_path: Path
) -> None:
    study = reader.study
    names = [activity.text for activity in study.stimuli.activities]
    elo = pd.DataFrame({"activity": names, "elo": 1000.0 - np.arange(len(names))})
    pack = {"name": study.stimuli.name, "sha256": study.stimuli.sha256, "is_paper": False}
    made = {"model": study.model.identity, "time": "2026-11-30T00:00:00+00:00"}
    saved(tmp_path, {"elo": elo}, stimuli=pack, provenance=made)
    page = opened(browser, address)
    panel = go(page, "Results")
    folder = panel.get_by_label("Folder of a run or a sweep")
    folder.fill(str(tmp_path))
    folder.press("Enter")
    canvas = panel.locator("[data-testid=stDataFrame] canvas").first
    canvas.scroll_into_view_if_needed()
    settled(page)
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + 12, box["y"] + 35 * 2.5)  # the mark of the second row
    panel.locator("table", has_text="pairs lost").wait_for()
    shown = table_of(panel, "pairs lost")
    expected = runs.lost_pairs(SavedRun.load(tmp_path), study, names[1])
    assert list(shown["preferred"]) == list(expected["preferred"])
    assert [float(v) for v in shown["margin"]] == expected["margin"].tolist()
    page.context.close()


def test_two_models_are_compared_one_after_the_other(
    browser: Any, address: str, reader: Reader, explore_store: Path
) -> None:
    other = open_reader([*overrides(explore_store), "model=organism_untrained"])
    text, layer = "I won the prize!", reader.study.layer
    a, b = reader.read(text), other.read(text)
    page = opened(browser, address)
    panel = go(page, "Compare")
    type_into(page, panel.get_by_label("Text", exact=True).first, text)
    panel.get_by_role("button", name="Keep the reading of A").click()
    panel.get_by_label("Reading of A").wait_for()
    settled(page)
    open_model(page, "organism_untrained")
    panel = go(page, "Compare")
    panel.get_by_role("combobox", name="Reading of A").fill("kept")
    page.keyboard.press("Enter")
    settled(page)
    type_into(page, panel.get_by_label("Text", exact=True).first, text)
    expected = compare(a, b, (layer, layer), ("turn", "turn"), "centred")
    shown = table_of(panel, "largest differences")
    assert list(shown["emotion"]) == list(expected["emotion"])
    assert [float(v) for v in shown["difference"]] == expected["difference"].tolist()
    open_model(page, "organism")  # the model of the other tests
    page.context.close()


def open_model(page: Any, model: str) -> None:
    """Frees the model that is open, and opens another in its place."""
    panel = go(page, "Compare")
    settled(page)
    box = panel.get_by_role("combobox", name="Model")
    box.fill(model)
    for _ in range(60):  # the list may close while the script runs
        page.wait_for_timeout(500)
        if page.get_by_role("option", name=model, exact=True).count():
            break
        box.fill("")
        box.fill(model)
    page.get_by_role("option", name=model, exact=True).click()
    settled(page)
    panel.get_by_role("button", name="Free this model").click()
    page.get_by_text(f"{model}, 8 layers").wait_for()
    settled(page)


def test_two_pages_at_once_keep_their_own_texts(browser: Any, address: str) -> None:
    pages = [opened(browser, address) for _ in range(2)]
    for page, text in zip(pages, ("Only here.", "Only there."), strict=True):
        type_into(page, go(page, "Read").get_by_label("Text", exact=True), text)
    for page, word in zip(pages, ("here", "there"), strict=True):
        go(page, "Read").locator(".emoexp-token", has_text=word).first.wait_for()
        page.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1024, "light"), (390, "dark")])
def test_no_tab_is_wider_than_the_page(browser: Any, address: str, width: int, scheme: str) -> None:
    page = opened(browser, address, width, scheme)
    for tab in TABS:
        go(page, tab)
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.skipif(
    "EMOEXP_SCREENSHOTS" not in os.environ, reason="EMOEXP_SCREENSHOTS=1 draws the pictures"
)
@pytest.mark.parametrize(("width", "scheme"), [(1024, "light"), (390, "dark")])
def test_the_pictures_of_the_docs(
    browser: Any, address: str, explore_store: Path, width: int, scheme: str
) -> None:
    folder = "build/pictures"  # in the repository: the pictures show no other path
    command = [sys.executable, "-m", "emoexp", *overrides(explore_store)]
    subprocess.run([*command, f"hydra.run.dir={folder}/implicit"], cwd=REPOSITORY, check=True)
    page = opened(browser, address, width, scheme)
    for tab in TABS[:4]:  # Share names the folder of the store
        panel = go(page, tab)
        if tab == "Results":
            box = panel.get_by_label("Folder of a run or a sweep")
            box.fill(folder)
            box.press("Enter")
            panel.get_by_role("button", name="implicit as PNG").wait_for()
        if tab == "Steer":
            panel.get_by_role("button", name="Write replies").click()
            panel.get_by_text("Turn 1:").wait_for()
            settled(page)
            type_into(page, panel.get_by_label("Prompt"), "Why?")
            panel.get_by_role("button", name="Continue the chat").click()
            panel.get_by_text("Turn 2:").wait_for()
        settled(page)
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": width, "height": min(height, 1800)})
        page.wait_for_timeout(1500)
        page.screenshot(path=REPOSITORY / "docs/explorer" / f"{tab.lower()}_{width}_{scheme}.png")
        page.set_viewport_size({"width": width, "height": 900})
    page.context.close()


def test_a_server_that_was_killed_starts_again(
    browser: Any, address: str, servers: list[subprocess.Popen[bytes]], explore_store: Path
) -> None:
    opened(browser, address).context.close()
    servers[-1].kill()
    servers[-1].wait(120)
    servers.append(started(explore_store, int(address.rsplit(":", 1)[1])))
    page = opened(browser, address)
    assert page.locator(".emoexp-token").count() > 0
    page.context.close()
