"""What the console's tests share: a page without ROS, and a real browser to look at it."""

import shutil
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "nodes"), str(HERE.parent / "client")]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Software rendering: machines that run tests may have no GPU. Root may start no sandbox.
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage"]


def until(condition, timeout=30.0):
    """The first true value of condition(); fails after the timeout (s)."""
    end = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """open_page(address) -> ConsoleBrowser in a window of its own, closed after the test."""
    from console_browser import ConsoleBrowser

    contexts = []

    def open_one(address):
        context = browser.new_context(viewport={"width": 1000, "height": 600})
        contexts.append(context)
        return ConsoleBrowser(context.new_page(), address)

    yield open_one
    for context in contexts:
        context.close()
