"""Node `console`: the web page of one perception node. Wiring only; docs/console.md explains it."""

import sys

from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.node import Node

from lisa_ros.console import check_installed
from lisa_ros.console.state import CameraView, ConsoleState
from lisa_ros.errors import ConfigurationError, InvalidImageError
from lisa_ros.nodes.common.executor_queue import ExecutorQueue
from lisa_ros.nodes.common.node_runner import run_node
from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.console.camera_images import CameraImages
from lisa_ros.nodes.console.perception_monitor import PerceptionMonitor
from lisa_ros.nodes.console.queries import ConsoleQueries
from lisa_ros.nodes.console.remote_parameters import RemoteParameters
from lisa_ros.nodes.console.spatial_views import SpatialViews

_PERIOD = 0.2  # s between two live images
HOST, PORT = "127.0.0.1", 8080
_TRANSPORTS = ("raw", "compressed")


class ConsoleNode(Node):
    """Fills the state of the page, and does what the page asks for: it is its `ConsoleRequests`.

    Raises:
        ConfigurationError: viser is missing, a parameter is no good, or the page's address cannot be served.
    """

    def __init__(self):
        super().__init__("console")
        check_installed()
        from lisa_ros.console.page import ConsolePage  # imports viser

        host, port, transport = self._declare()
        self._error = ThrottledLog(lambda text: self.get_logger().error(text))
        self._executor_queue = ExecutorQueue(self)
        self._state = ConsoleState()
        namespace = self.get_namespace()
        name = f"{namespace.rstrip('/')}/perception"
        self._images = CameraImages(self, transport)
        self._monitor = PerceptionMonitor(self, name)
        self._remote_parameters = RemoteParameters(self, name, self._state.notify)
        views = SpatialViews(self)
        self._queries = ConsoleQueries(
            self, namespace, self._state, self._images, views, lambda: self._remote_parameters.values
        )
        self.create_timer(_PERIOD, self._update)
        self._shown_stamp: int | None = None
        self._live = CameraView(self._images.topic)
        self._page = ConsolePage(self._state, self, host, port, lambda text: self._error("page", text))
        self._tell_address()

    # -- ConsoleRequests

    def ask(self, words: str, as_phrases: bool, in_conversation: bool):
        """As `ConsoleQueries.ask`."""
        self._queries.ask(words, as_phrases, in_conversation)

    def cancel(self):
        """As `ConsoleQueries.cancel`."""
        self._queries.cancel()

    def forget(self):
        """As `ConsoleQueries.forget`."""
        self._queries.forget()

    def set_parameter(self, name: str, text: str):
        """Sets a parameter of the perception node; the page is told how it went."""
        try:
            value = self._remote_parameters.parse(name, text)
        except ConfigurationError as error:
            self._state.notify(str(error), is_error=True)
            return
        self._executor_queue.post(lambda: self._remote_parameters.set(name, value))

    # -- life

    def stop_accepting(self):
        """Ends the page and cancels what it has asked."""
        self._page.close()
        self._queries.close()

    def shutdown(self) -> bool:
        """As `run_node` asks for it."""
        return True

    def _declare(self) -> tuple[str, int, str]:
        def declare(name: str, default, about: str, ranges=()):
            descriptor = ParameterDescriptor(description=about, read_only=True, integer_range=list(ranges))
            return self.declare_parameter(name, default, descriptor).value

        host = declare(
            "host", HOST, "Name or address where the page is served; any but this computer's own loopback needs a token"
        )
        ports = [IntegerRange(from_value=0, to_value=65535)]
        port = declare("port", PORT, "Port where the page is served; 0: a free one", ports)
        transport = declare("image_transport", _TRANSPORTS[0], "As of the perception node")
        if transport not in _TRANSPORTS:
            raise ConfigurationError(f"image_transport={transport!r} is not one of {', '.join(_TRANSPORTS)}")
        return host, port, transport

    def _tell_address(self):
        if self._page.is_loopback:
            self.get_logger().info(f"open {self._page.address}")
            return
        self.get_logger().warning(
            "the page is served beyond this computer, over plain HTTP: whoever can read the traffic can read the token "
            "and the camera's images. The link is on this process's output."
        )
        # Not logged: /rosout is read by the whole graph.
        sys.stdout.write(f"open {self._page.address}\n")
        sys.stdout.flush()

    def _update(self):
        is_watched = self._page.viewers > 0
        self._state.set(node=self._monitor.view(), camera=self._camera_view(is_watched))
        self._remote_parameters.update(self._monitor.is_there)
        if self._state.view.parameters is not self._remote_parameters.views:
            self._state.set(parameters=self._remote_parameters.views)
        self._queries.update(is_watched)

    def _camera_view(self, is_watched: bool) -> CameraView:
        problem, stamp = self._images.problem(), self._images.newest_stamp
        image = self._live.image
        if is_watched and stamp is not None and stamp != self._shown_stamp:
            self._shown_stamp = stamp
            try:
                image = self._images.at(stamp)
            except InvalidImageError as error:
                problem = f"the image cannot be shown: {error}"
        self._live = CameraView(self._images.topic, image, self._images.rate, problem)
        return self._live


def main(args=None) -> int:
    """Runs the node until SIGINT or SIGTERM. Returns the exit status: 0, or 2 for bad parameters."""
    return run_node(ConsoleNode, args)


if __name__ == "__main__":
    sys.exit(main())
