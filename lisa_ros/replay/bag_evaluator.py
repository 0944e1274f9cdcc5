"""Plays a bag to the perception node and asks about its frames."""

import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray

from lisa_ros.client.graph_client import ACTION, GraphClient, TimedResult
from lisa_ros.nodes.simulation.bag_player import BagPlayer
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.frames import RgbdFrame

_ROLES = ("image", "depth", "camera_info")
_SETTLING = 0.5  # s for the other side's discovery, and for a clock that was set back to be noticed
_ATTEMPTS = 5  # images travel best effort: one that was lost on the way is sent again
_DIAGNOSTICS = 3.0  # s; the node publishes them once a second


class BagEvaluator(GraphClient):
    """A GraphClient with a BagPlayer, which is the source of /clock; used as a context manager, in one thread."""

    def __init__(self, namespace: str, bag: RgbdBag, check: Callable[[], None]):
        super().__init__(namespace, check)
        self._bag = bag
        self._diagnostics: list[dict[str, str]] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.player = BagPlayer(self.node, bag)
        self.player.open_clock()

    def wait_for_subscribers(self, timeout: float):
        """Returns when the node has subscribed to the bag's topics. Raises NoResultError."""
        wanted = [role for role in _ROLES if role in self.player.matched()]
        self._until(lambda: all(self.player.matched()[role] for role in wanted), timeout, "subscribers of the bag")
        self._spin(_SETTLING)

    def ask_about(self, frame: RgbdFrame, text: str, timeout: float) -> TimedResult:
        """Asks about a frame that `player.publish` has sent, and sends it again where it was lost on the way.

        Raises NoResultError.
        """
        lost = ("NO_IMAGE", "NO_DEPTH") if "depth" in frame.messages else ("NO_IMAGE",)
        for _ in range(_ATTEMPTS):
            timed = self.ask(text, ACTION, timeout, frame.stamp)
            if timed.status not in lost:
                return timed
            lost = ("NO_IMAGE",)  # depth once more; depth that cannot be used stays so
            self.player.publish(frame)
        return timed

    def rewind(self):
        """Sets the clock to the bag's first frame, and waits until the node has noticed."""
        first = next(iter(self._bag.frames()))
        self.player.publish(first)
        self._spin(_SETTLING)

    def diagnostics(self) -> dict[str, str]:
        """The node's next values on /diagnostics; empty where none come."""
        self._diagnostics.clear()
        end = time.monotonic() + _DIAGNOSTICS
        while not self._diagnostics and time.monotonic() < end:
            self._check()
            self._spin(0.05)
        return self._diagnostics[-1] if self._diagnostics else {}

    def _on_diagnostics(self, message: DiagnosticArray):
        own = self.node.get_namespace().rstrip("/") + "/perception: perception"
        for status in message.status:
            if status.name == own:
                self._diagnostics.append({value.key: value.value for value in status.values})
