"""Take the pictures of the report that docs/diarize.md shows.

    python docs/screenshots.py            # takes playwright, and a Chromium on the PATH

The recording is pyannote.audio's sample beside its reference, diarized by the packaged weights, so
the errors are theirs.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from pyannote_drz.cli.demo import find_sample

DOCS = Path(__file__).resolve().parent
# A Chromium that needs no screen, no GPU and no network.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


def main() -> None:
    """Write report.png and report-dark.png beside this file."""
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if path is None:
        sys.exit("screenshots.py: there is no Chromium on the PATH.")
    wav, rttm = find_sample()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        report = Path(folder) / "report.html"
        command = "from pyannote_drz.cli.main import run; run()"
        subprocess.run(
            [
                sys.executable,
                "-c",
                command,
                "diarize",
                wav,
                "--report",
                report,
                "--reference",
                rttm,
            ],
            check=True,
        )
        browser = driver.chromium.launch(executable_path=path, args=FLAGS, timeout=120_000)
        for scheme, name in (("light", "report.png"), ("dark", "report-dark.png")):
            page = browser.new_page(
                viewport={"width": 1200, "height": 620},
                device_scale_factor=1.5,
                color_scheme=scheme,
            )
            page.set_default_timeout(120_000)
            page.goto(report.as_uri())
            page.locator(".bar").first.wait_for()
            page.locator(".bar").nth(2).click()  # a turn, selected
            page.keyboard.press("Space")
            page.screenshot(path=DOCS / name, full_page=True)
            print(f"written: {DOCS / name}")
        browser.close()


if __name__ == "__main__":
    main()
