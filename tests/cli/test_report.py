"""The report in a real browser: it is complete in itself, sounds, and obeys clicks and keys."""

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from pyannote_drz.cli.comparison import compare
from pyannote_drz.cli.formats import Diarized
from pyannote_drz.cli.plot import draw
from pyannote_drz.cli.report import make_report
from pyannote_drz.pipelines.output import Pix2SeqOutput, annotate, confidence_of
from pyannote_drz.pipelines.stitching import Turn, exclusive

RATE = 16000
DURATION = 20.0
TURNS = [Turn(1, 5, 0, 0.9), Turn(4, 9, 1, 0.5), Turn(10, 14, 0, 0.3), Turn(15, 19, 2, 0.7)]
NAMES = {0: "SPEAKER_00", 1: "</script><b>Eve", 2: "$x and y$"}
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


def diarized() -> Diarized:
    output = Pix2SeqOutput(
        speaker_diarization=annotate(TURNS, NAMES, "talk"),
        exclusive_speaker_diarization=annotate(exclusive(TURNS), NAMES, "talk"),
        confidence=confidence_of(TURNS),
    )
    return Diarized(Path("a <b> & c.wav"), "talk", DURATION, output)


def waveform() -> np.ndarray:
    """A second at 500 Hz, one at 600 Hz …: what is heard tells when it is."""
    hz = 500 + 100 * np.arange(int(DURATION)).repeat(RATE)
    return (0.3 * np.sin(2 * np.pi * np.cumsum(hz) / RATE)).astype(np.float32)


def comparison():
    spoken = [Turn(1, 5, 0, 1), Turn(4, 9.5, 1, 1), Turn(10, 14, 1, 1)]
    reference = annotate(spoken, {0: "Ann", 1: "Bob"}, "talk")
    return compare(reference, diarized().output.speaker_diarization, DURATION)


@pytest.fixture(scope="module")
def page_text() -> str:
    return make_report(diarized(), waveform(), RATE, comparison())


def test_is_one_page_with_its_data(page_text):
    assert not re.search(r"https?://|<link|@import|url\(", page_text)
    assert "{{" not in page_text and "a &lt;b&gt; &amp; c.wav" in page_text
    data = json.loads(re.search(r'id="data">(.*?)</script>', page_text, re.S)[1])
    assert [s["label"] for s in data["speakers"]] == list(NAMES.values())
    assert data["turns"][1] == [4.0, 9.0, 1, 0.5] and data["overlaps"] == [[4.0, 5.0]]
    assert data["confidence"] == [0.3, 0.9]
    assert sum(data["reference"]["seconds"]) == pytest.approx(0.5 + 4 + 4)
    assert sorted(data["reference"]["mapping"]) == [[0, 0], [1, 1]]
    assert page_text == make_report(diarized(), waveform(), RATE, comparison())


def test_plot_is_a_png():
    assert draw(diarized(), waveform(), comparison()).startswith(b"\x89PNG")


def until(page, condition: str) -> None:
    """Wait for it; playwright's own wait_for_function is what the page's policy forbids."""
    deadline = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if path is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, page_text, tmp_path):
    """The report, opened as a file; what it complains of or asks for fails the test."""
    path = tmp_path / "report.html"
    path.write_text(page_text)
    page = chromium.new_page(viewport={"width": 1200, "height": 800})
    page.set_default_timeout(120_000)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    until(page, "audio.readyState >= 3")
    yield page
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    page.close()


def test_a_click_on_a_turn_is_heard(page):
    assert page.evaluate("audio.duration") == pytest.approx(DURATION, abs=0.05)
    bars = page.locator(".bar")
    assert bars.count() == 4 + 3  # with the reference's
    page.locator(".bar[aria-label^='SPEAKER_00, 0:10.0']").click()
    until(page, "audio.currentTime > 10.2")
    assert "confidence 30 %" in page.locator("#told").inner_text()
    until(page, "audio.paused")  # at the end of the turn
    assert 13.9 < page.evaluate("audio.currentTime") < 16  # a busy machine is late
    head = page.locator("#head").bounding_box()["x"]
    assert head > page.locator(".bar.selected").bounding_box()["x"]


def test_what_is_heard_is_what_is_shown(page):
    # seek to the middle of second 12, and take the pitch of what follows
    hertz = page.evaluate(
        """async () => {
            const bytes = Uint8Array.from(atob(audio.src.split(",")[1]), c => c.charCodeAt(0));
            const context = new OfflineAudioContext(1, 16000, 16000);
            const samples = (await context.decodeAudioData(bytes.buffer)).getChannelData(0);
            const pitch = s => {  // rising zero crossings within 0.1 s
                let n = 0;
                for (let i = 16000 * s + 1; i < 16000 * (s + 0.1); i++) {
                    if (samples[i - 1] < 0 && samples[i] >= 0) n++;
                }
                return 10 * n;
            };
            return [pitch(3.01), pitch(3.89), pitch(12.01), pitch(12.89)];
        }"""
    )
    assert hertz == pytest.approx([800, 800, 1700, 1700], abs=30)


def test_keys(page):
    def selected() -> str:
        return page.locator(".selected").get_attribute("title")

    press = page.keyboard.press
    press("Space")
    until(page, "!audio.paused && audio.currentTime > 0.1")
    press("Space")
    until(page, "audio.paused")
    press("ArrowRight")
    assert selected().startswith("SPEAKER_00, 0:01.0")
    press("ArrowRight")
    assert selected().startswith("</script><b>Eve, 0:04.0")
    press("ArrowLeft")
    press("ArrowDown")  # the same speaker's next
    assert selected().startswith("SPEAKER_00, 0:10.0")
    until(page, "audio.currentTime >= 10")
    page.evaluate("choose(errors[0])")
    press("e")
    assert selected() == "confusion, 0:10.00 to 0:14.00: Bob spoke, SPEAKER_00 was heard"
    press("+")
    assert page.evaluate("sheet.offsetWidth / scroll.offsetWidth") == pytest.approx(1.6, abs=0.05)
    press("0")
    assert page.evaluate("sheet.offsetWidth / scroll.offsetWidth") == pytest.approx(1, abs=0.05)


def test_errors_and_overlap_are_to_be_seen(page):
    assert "63.0 %" in page.locator("#score div").first.inner_text()
    assert page.locator(".error.missed").count() == 1
    assert page.locator(".error.confusion").count() == 1
    assert page.locator(".error.alarm").count() == 1
    strip, bar = page.locator(".overlap"), page.locator(".bar[aria-label*='Eve']")
    assert strip.bounding_box()["x"] == pytest.approx(bar.bounding_box()["x"], abs=1)
    fills = page.locator(".bar i").evaluate_all("all => all.map(i => i.style.opacity)")
    assert fills[:2] == ["1", "0.35"]  # SPEAKER_00: the most and the least certain
