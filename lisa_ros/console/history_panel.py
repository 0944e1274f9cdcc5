"""The history: a button for each query, the newest first."""

from dataclasses import dataclass
from time import localtime, strftime

from viser import GuiApi, GuiButtonHandle

from lisa_ros.console.markup import aside, badge, block, muted, status_colour, summary
from lisa_ros.console.state import ConsoleState, ConsoleView, QueryRecord
from lisa_ros.console.widgets import TextElement

_LONGEST = 38  # characters of a button's label


@dataclass
class _Entry:
    button: GuiButtonHandle
    text: TextElement
    drawn: tuple = ()


class HistoryPanel:
    """A click puts a query on display, with its picture and its clouds."""

    def __init__(self, gui: GuiApi, state: ConsoleState):
        """Adds its elements where the caller stands."""
        self._gui, self._state = gui, state
        self._empty = TextElement(gui)
        self._folder = gui.add_folder(None)
        self._entries: dict[int, _Entry] = {}

    def draw(self, view: ConsoleView):
        """Shows the view."""
        self._empty.show("" if view.records else block(muted("Every query appears here, those of other programs too.")))
        kept = {record.number for record in view.records}
        for number in [number for number in self._entries if number not in kept]:
            entry = self._entries.pop(number)
            entry.button.remove()
            entry.text.remove()
        for record in view.records:
            entry = self._entries.get(record.number) or self._add(record)
            drawn = record.status, record.stage, record.asked, record.number == view.selected
            if drawn != entry.drawn:
                entry.drawn = drawn
                entry.button.color = "blue" if record.number == view.selected else "dark"
                entry.text.show(_line(record))

    def _add(self, record: QueryRecord) -> _Entry:
        words = " ".join(record.query.split())
        label = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
        with self._folder:
            button = self._gui.add_button(label, order=-2 * record.number)
            text = TextElement(self._gui, order=-2 * record.number + 1)
        button.on_click(lambda _: self._state.select(record.number))
        self._entries[record.number] = entry = _Entry(button, text)
        return entry


def _line(record: QueryRecord) -> str:
    asked = strftime("%H:%M:%S", localtime(record.asked))
    words = f"#{record.number} at {asked}" + (f", {record.origin}" if record.origin else "")
    return block(badge(summary(record), status_colour(record.status)), aside(words))
