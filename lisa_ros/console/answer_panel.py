"""The query on display: its frame with the masks, and what was answered."""

import time

from viser import GuiApi

from lisa_ros.console.markup import answer_block
from lisa_ros.console.pictures import answer_picture
from lisa_ros.console.state import ConsoleView, QueryRecord
from lisa_ros.console.widgets import ImageElement, TextElement


class AnswerPanel:
    """Words first, since they come first; the picture as soon as it is there."""

    def __init__(self, gui: GuiApi):
        """Adds its elements where the caller stands."""
        self._text = TextElement(gui)
        self._picture = ImageElement(gui)
        self._pictured: QueryRecord | None = None

    def draw(self, view: ConsoleView):
        """Shows the view."""
        record = view.shown
        self._text.show(answer_block(record, time.time()))
        before = self._pictured
        # The words of a running query change many times a second, its picture does not.
        if record is None or before is None or _parts(record) != _parts(before):
            self._pictured = record
        self._picture.show(self._pictured, answer_picture)


def _parts(record: QueryRecord) -> tuple:
    return record.number, id(record.image), id(record.targets)
