"""The evaluation's side of the graph: plays a bag to the perception node and asks about its frames."""

import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray

from lisa_ros.client.graph_client import ACTION, GraphClient, TimedResult
from lisa_ros.nodes.simulation.bag_player import BagPlayer
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.frames import RgbdFrame

_HEARD = ("image", "depth", "camera_info")
_SETTLING = 0.5  # s for the other side's discovery, and for a clock that was set back to be noticed
_ATTEMPTS = 5  # images travel best effort: one that was lost on the way is sent again
_REPORT = 3.0  # s; the node reports on itself once a second


class BagEvaluator(GraphClient):
    """A GraphClient with a BagPlayer, which is the source of /clock; used as a context manager, in one thread."""

    def __init__(self, namespace: str, bag: RgbdBag, check: Callable[[], None]):
        super().__init__(namespace, check)
        self._bag = bag
        self._reports: list[dict[str, str]] = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.player = BagPlayer(self.node, bag)
        self.player.open_clock()

    def wait_until_heard(self, timeout: float):
        """Returns when the node listens to the bag's topics. Raises NoResultError."""
        wanted = [role for role in _HEARD if role in self.player.matched()]
        self._until(lambda: all(self.player.matched()[role] for role in wanted), timeout, "listeners of the bag")
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
            lost = ("NO_IMAGE",)  # depth once more; a frame whose depth is no good stays so
            self.player.publish(frame)
        return timed

    def go_to_start(self):
        """Sets the clock to the bag's first frame, and waits until the node has got over it."""
        first = next(iter(self._bag.frames()))
        self.player.publish(first)
        self._spin(_SETTLING)

    def report(self) -> dict[str, str]:
        """The next report of the node about itself (/diagnostics); empty where none comes."""
        self._reports.clear()
        end = time.monotonic() + _REPORT
        while not self._reports and time.monotonic() < end:
            self._check()
            self._spin(0.05)
        return self._reports[-1] if self._reports else {}

    def _on_diagnostics(self, message: DiagnosticArray):
        own = self.node.get_namespace().rstrip("/") + "/perception: perception"
        for status in message.status:
            if status.name == own:
                self._reports.append({value.key: value.value for value in status.values})
