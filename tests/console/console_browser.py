"""The page as a person sees and uses it, in Chromium."""

import io

import numpy as np
from PIL import Image

TIMEOUT = 60_000  # ms: software rendering on a busy machine


class ConsoleBrowser:
    """One open window."""

    def __init__(self, page, address):
        self.page, self.requests = page, []
        page.on("request", lambda request: self.requests.append(request.url))
        page.set_default_timeout(TIMEOUT)
        page.goto(address)
        page.get_by_role("button", name="Ask", exact=True).wait_for()

    def ask(self, words):
        field = self.field("Ask")
        field.fill(words)
        field.press("Enter")

    def field(self, label):
        # viser ties only some of its labels to their inputs.
        return self.page.locator(f'xpath=//label[normalize-space()="{label}"]/following::input[1]')

    def see(self, words):
        """Waits until the words can be seen."""
        self.page.get_by_text(words).first.wait_for()

    def sees(self, words):
        return self.page.get_by_text(words).first.is_visible()

    def click(self, name):
        # From the keyboard: Chromium's pointer events wait for a frame to be drawn, which takes long in software.
        button = self.page.get_by_role("button", name=name, exact=True)
        button.first.press("Enter")

    def pictures(self):
        """The images on display, (H, W, 3) uint8 RGB each, at their own size."""
        urls = self.page.evaluate(
            """async () => Promise.all([...document.querySelectorAll("img")].filter(one => one.offsetParent).map(
                async one => [...new Uint8Array(await (await fetch(one.src)).arrayBuffer())]))"""
        )
        return [np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB")) for data in urls]
