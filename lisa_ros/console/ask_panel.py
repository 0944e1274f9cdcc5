"""The box to ask in."""

from typing import TYPE_CHECKING

from viser import GuiApi, Icon

from lisa_ros.console.markup import AMBER, BLUE, GREEN, RED, aside, badge, block, note
from lisa_ros.console.state import ConsoleView, NodeView
from lisa_ros.console.widgets import TextElement

if TYPE_CHECKING:
    from lisa_ros.console.page import ConsoleRequests

QUESTION, PHRASES = "a question", "names of things"


class AskPanel:
    """The node's state, a line to type in, and what to do with it."""

    def __init__(self, gui: GuiApi, requests: "ConsoleRequests"):
        """Adds its elements where the caller stands."""
        self._requests = requests
        self._node = TextElement(gui)
        with gui.add_form(None) as form:
            self._words = gui.add_text("Ask", "", hint="Enter asks")
            self._form = gui.add_dropdown(
                "Kind",
                (QUESTION, PHRASES),
                hint="names of things: with commas between them; each is found, or said to be absent",
            )
            self._follow_up = gui.add_checkbox(
                "Follow-up", False, hint="the node remembers what was asked before in this conversation, and its image"
            )
        form.on_submit(lambda _: self._ask())
        self._send = gui.add_button("Ask", icon=Icon.SEND)
        self._send.on_click(lambda _: form.submit())
        self._cancel = gui.add_button(
            "Cancel", icon=Icon.PLAYER_STOP, color="red", disabled=True, hint="ends every query of this page"
        )
        self._cancel.on_click(lambda _: requests.cancel())
        self._forget = gui.add_button("New conversation", icon=Icon.REFRESH, color="gray", visible=False)
        self._forget.on_click(lambda _: requests.forget())
        self._notice = TextElement(gui)

    def draw(self, view: ConsoleView):
        """Shows the view."""
        self._node.show(node_line(view.node))
        if self._cancel.disabled == view.is_asking:
            self._cancel.disabled = not view.is_asking
        if self._forget.visible != view.in_conversation:
            self._forget.visible = view.in_conversation
        self._notice.show(block(note(view.notice, RED if view.is_error else BLUE)) if view.notice else "")

    def _ask(self):
        words = self._words.value.strip()
        if words:
            self._words.value = ""
        self._requests.ask(words, self._form.value == PHRASES, self._follow_up.value)


def node_line(node: NodeView) -> str:
    """State of the node and, where there is one, its problem."""
    colour = RED if not node.state else GREEN if node.state == "active" and not node.problem else AMBER
    return block(badge(node.state or "no node", colour), aside(node.name), note(node.problem, colour))
