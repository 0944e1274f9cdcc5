"""The diagnostics of the perception node; its state and what is wrong stand above the box to ask in."""

from viser import GuiApi

from lisa_ros.console.markup import block, muted, table
from lisa_ros.console.state import ConsoleView
from lisa_ros.console.widgets import TextElement


class NodePanel:
    """What the node says about itself once a second."""

    def __init__(self, gui: GuiApi):
        """Adds its elements where the caller stands."""
        self._text = TextElement(gui)

    def draw(self, view: ConsoleView):
        """Shows the view."""
        values = {name: value for name, value in view.node.values.items() if name != "state"}
        facts = table(values.items(), "58%") if values else muted("no diagnostics")
        self._text.show(block(facts))
