"""The page: its parts in their places, drawn again and again from the view of the moment."""

import threading
import traceback
from collections.abc import Callable
from typing import Protocol

from viser import Icon

from lisa_ros.console.answer_panel import AnswerPanel
from lisa_ros.console.ask_panel import AskPanel
from lisa_ros.console.camera_panel import CameraPanel
from lisa_ros.console.history_panel import HistoryPanel
from lisa_ros.console.markup import STYLE
from lisa_ros.console.node_panel import NodePanel
from lisa_ros.console.parameter_panel import ParameterPanel
from lisa_ros.console.server import ConsoleServer
from lisa_ros.console.spatial_scene import SpatialScene
from lisa_ros.console.state import ConsoleState

_PERIOD = 0.1  # s between two looks at the state
_LEFT_WIDTH, _RIGHT_WIDTH = 460, 380  # pixels


class ConsoleRequests(Protocol):
    """What the page asks for. Called from threads of viser; none of them may block for long."""

    def ask(self, words: str, as_phrases: bool, in_conversation: bool) -> None:
        """Asks; `as_phrases`: names of things with commas between them."""

    def cancel(self) -> None:
        """Ends every query of this page."""

    def forget(self) -> None:
        """Begins a new conversation."""

    def set_parameter(self, name: str, text: str) -> None:
        """Sets a parameter of the perception node."""


class ConsolePage:
    """Serves the page of a state until `close`. All browsers share it."""

    def __init__(
        self,
        state: ConsoleState,
        requests: ConsoleRequests,
        host: str,
        port: int,
        on_error: Callable[[str], None],
    ):
        """Starts to serve.

        Args:
            state: What to show.
            requests: Who does what the page asks for.
            host: As of `ConsoleServer`.
            port: As of `ConsoleServer`.
            on_error: Called with a text where the page could not be drawn or a request failed unexpectedly.

        Raises:
            ConfigurationError: As `ConsoleServer`.
        """
        self._state, self._on_error = state, on_error
        self._server = server = ConsoleServer(host, port)
        gui = server.gui
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, brand_color=(64, 150, 255))
        gui.set_panel_label("lisa_ros")
        left = gui.add_panel()
        with left.add_tab("Answer", Icon.MESSAGE_CIRCLE):
            gui.add_html(STYLE)
            answer = AnswerPanel(gui)
        ask = AskPanel(gui, requests)
        tabs = gui.add_tab_group()
        with tabs.add_tab("History", Icon.HISTORY):
            history = HistoryPanel(gui, state)
        with tabs.add_tab("Node", Icon.STETHOSCOPE):
            node = NodePanel(gui)
        with tabs.add_tab("Parameters", Icon.ADJUSTMENTS):
            parameters = ParameterPanel(gui, requests)
        below = gui.add_panel()
        with below.add_tab("Camera", Icon.CAMERA):
            camera = CameraPanel(gui)
        left.dock_left()
        left.set_width(_LEFT_WIDTH)
        gui.main_panel.dock_right()
        gui.main_panel.set_width(_RIGHT_WIDTH)
        below.dock_below(gui.main_panel)
        self._parts = (camera, answer, ask, history, node, parameters, SpatialScene(server))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console page", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The page's address, with the token where one is needed."""
        return self._server.address

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer can reach it."""
        return self._server.is_loopback

    @property
    def viewers(self) -> int:
        """How many browsers have it open."""
        return len(self._server.get_clients())

    def close(self):
        """Ends the server."""
        self._stop.set()
        self._thread.join(2.0)
        self._server.stop()

    def _run(self):
        while not self._stop.wait(_PERIOD):
            view = self._state.view
            for part in self._parts:
                try:
                    part.draw(view)
                except Exception:  # noqa: BLE001 - one part that cannot be drawn must not freeze all others
                    self._on_error(f"{type(part).__name__} cannot be drawn\n{traceback.format_exc()}")
