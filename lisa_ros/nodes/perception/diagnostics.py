"""What the node publishes on /diagnostics, once a second."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from lisa_ros.graph import fastdds_variable
from lisa_ros.nodes.common.stamps import SECOND, arrival_time
from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.frames.camera_subscribers import CameraSubscribers
from lisa_ros.nodes.perception.frames.camera_transforms import CameraTransforms
from lisa_ros.nodes.perception.frames.frame_buffer import FrameBuffer
from lisa_ros.nodes.perception.frames.publisher_checks import QosMonitor
from lisa_ros.nodes.perception.parameter_listener import ParameterListener
from lisa_ros.nodes.perception.parameters import PerceptionParameters
from lisa_ros.nodes.perception.queries.frame_selector import FrameSelector
from lisa_ros.nodes.perception.queries.query_statistics import QueryStatistics

_SILENCE = 3 * SECOND  # a matched publisher without messages for so long is worth a hint
FASTDDS_HINT = (
    "a publisher is matched, but no image arrives: with Fast DDS's default shared memory of 512 KB large best-effort "
    f"images are lost; set {fastdds_variable()} for the camera's process to this package's config/fastdds.xml"
)


class DiagnosticsPublisher:
    """Gathers what the node's parts know about themselves; node has `state`."""

    def __init__(
        self,
        node: Node,
        parameters: ParameterListener,
        buffer: FrameBuffer,
        subscribers: CameraSubscribers,
        frame_selector: FrameSelector,
        transforms: CameraTransforms,
        statistics: QueryStatistics,
        qos_monitor: QosMonitor,
    ):
        self._node, self._parameters = node, parameters
        self._buffer, self._subscribers, self._frame_selector = buffer, subscribers, frame_selector
        self._transforms, self._statistics, self._qos_monitor = transforms, statistics, qos_monitor
        self._warn = ThrottledLog(lambda text: node.get_logger().warning(text), period=60.0)
        self._last_hint = ""
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def publish(self):
        """Publishes the state of this moment."""
        self._qos_monitor.forget_gone()
        now, parameters = self._node.get_clock().now(), self._parameters.current()
        values = {"state": self._node.state, "model": parameters.model, "precision": parameters.precision}
        values |= self._statistics.values() | stream_values(self._buffer, self._frame_selector)
        values["TF misses"] = str(self._transforms.misses)
        values |= {f"QoS mismatch {topic}": policy for topic, policy in self._qos_monitor.mismatches.items()}
        name = f"{self._node.get_fully_qualified_name()}: perception"
        status = status_message(name, parameters.model, self._problem(parameters), values)
        message = DiagnosticArray(status=[status])
        message.header.stamp = now.to_msg()
        self._publisher.publish(message)

    def _problem(self, parameters: PerceptionParameters) -> str:
        subscribers = self._subscribers
        if self._statistics.stall:
            return self._statistics.stall
        if not subscribers.is_open:
            return f"{self._node.state}, takes no queries"
        if self._qos_monitor.mismatches:
            return f"incompatible QoS on {', '.join(self._qos_monitor.mismatches)}: nothing arrives from that publisher"
        if refusal := self._buffer.refusal("image"):
            return f"images are refused: {refusal}"
        for stream in subscribers.topics:
            if hint := subscribers.hint(stream):
                # While nodes discover each other, a part of a camera's topics may be known for a moment.
                if hint == self._last_hint:
                    self._warn(stream, hint)
                self._last_hint = hint
                return hint
        if remark := self._clock_problem(parameters):
            return remark
        for stream, topic in subscribers.topics.items():
            if (count := subscribers.publishers(stream)) > 1:
                # Stamps bind depth to an image, and two cameras of one frame_id cannot be told apart.
                return f"{topic} has {count} publishers: depth may be that of another camera; give each its own topics"
        if subscribers.publishers("image") > 0 and is_silent(self._buffer, subscribers.since, arrival_time(self._node)):
            return FASTDDS_HINT
        return ""

    def _clock_problem(self, parameters: PerceptionParameters) -> str:
        last = self._buffer.last
        if last is None:
            return ""
        if 0 < parameters.max_image_age * SECOND < -last.lead:
            return (
                f"images are stamped {-last.lead / SECOND:.1f} s in the past when they come, which max_image_age "
                f"({parameters.max_image_age:g} s) counts as too old: synchronise the clocks of camera and node"
            )
        return last.clock_remark


def stream_values(buffer: FrameBuffer, frame_selector: FrameSelector) -> dict[str, str]:
    """State of the camera's streams."""
    last = buffer.last
    values = {
        "image rate (Hz)": f"{buffer.rate:.1f}",
        "image age (s)": "none" if last is None else f"{frame_selector.age(last) / SECOND:.3f}",
        "image stamp ahead of clock (s)": "none" if last is None else f"{last.lead / SECOND:.3f}",
    }
    for name, counts in buffer.counts.items():
        values.update({f"{name} received": str(counts.received), f"{name} rejected": str(counts.rejected)})
        if counts.last_rejection:
            values[f"{name} last rejection"] = counts.last_rejection
    images = buffer.counts["image"]
    values.update(
        {
            "image missed": str(images.missed),
            "image without depth": str(images.unpaired),
            # of all streams: the first whose stamps fall back has the others begin anew, uncounted
            "stream restarts": str(sum(counts.restarts for counts in buffer.counts.values())),
        }
    )
    return values


def is_silent(buffer: FrameBuffer, since: int, now: int) -> bool:
    """Whether no image came within _SILENCE. since: start of the subscription; ns, clock of arrivals, like now."""
    return now - max(buffer.last_arrival or 0, since) > _SILENCE


def status_message(name: str, hardware_id: str, problem: str, values: dict[str, str]) -> DiagnosticStatus:
    """problem: "" where all is well."""
    return DiagnosticStatus(
        level=DiagnosticStatus.WARN if problem else DiagnosticStatus.OK,
        name=name,
        message=problem or "ok",
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
