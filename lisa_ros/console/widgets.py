"""Elements of the page that send what has changed and nothing else."""

from collections.abc import Callable

import numpy as np
from viser import GuiApi


class TextElement:
    """HTML."""

    def __init__(self, gui: GuiApi, order: float | None = None):
        """Adds it where the caller stands; `order` as viser's."""
        self._handle = gui.add_html("", order=order, visible=False)

    def show(self, markup: str):
        """Shows HTML; "" hides the element."""
        if markup != self._handle.content:
            self._handle.content = markup
            self._handle.visible = bool(markup)

    def remove(self):
        """Removes the element."""
        self._handle.remove()


class ImageElement:
    """An image, or nothing."""

    def __init__(self, gui: GuiApi):
        """Adds it where the caller stands."""
        self._handle = gui.add_image(np.zeros((1, 1, 3), np.uint8), visible=False, format="jpeg", jpeg_quality=85)
        self._source: object = None
        self._draw: Callable | None = None

    def show(self, source, draw: Callable[[object], np.ndarray | None]):
        """Shows `draw(source)`, which is called where either is another one than before; None hides the element.

        Args:
            source: What the picture is made of; compared by identity.
            draw: Makes it: (H, W, 3) uint8 RGB, or None for nothing to see.
        """
        if source is self._source and draw is self._draw:
            return
        self._source, self._draw = source, draw
        image = None if source is None else draw(source)
        if image is not None:
            self._handle.image = image
        self._handle.visible = image is not None
