"""/diagnostics, once a second."""

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from lisa_ros.nodes.finder import ImageFinder, clock_remark
from lisa_ros.nodes.frame_buffer import SECOND, FrameBuffer
from lisa_ros.nodes.health import FASTDDS_HINT, Health, is_silent, status_message, stream_values
from lisa_ros.nodes.inputs import arrival_time
from lisa_ros.nodes.parameters import Parameters
from lisa_ros.nodes.qos_watch import QosWatch
from lisa_ros.nodes.settings import Settings
from lisa_ros.nodes.throttle import ThrottledLog
from lisa_ros.nodes.transforms import CameraPoses


class Monitor:
    """Gathers what the node's parts know about themselves. node has `state` and, while it is active, `inputs`."""

    def __init__(
        self,
        node: Node,
        parameters: Parameters,
        buffer: FrameBuffer,
        health: Health,
        poses: CameraPoses,
        watch: QosWatch,
        finder: ImageFinder,
    ):
        self._node, self._parameters = node, parameters
        self._buffer, self._health, self._poses, self._watch = buffer, health, poses, watch
        self._finder = finder
        self._warn = ThrottledLog(lambda text: node.get_logger().warning(text), period=60.0)
        self._last_hint = ""
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    def report(self):
        """Publishes the state of this moment."""
        self._watch.forget_gone()
        now, settings, inputs = self._node.get_clock().now(), self._parameters.current(), self._node.inputs
        values = {"state": self._node.state, "model": settings.model, "precision": settings.precision}
        values |= self._health.values() | stream_values(self._buffer, self._finder)
        values["TF misses"] = str(self._poses.misses)
        values |= {f"QoS mismatch {topic}": policy for topic, policy in self._watch.mismatches.items()}
        name = f"{self._node.get_fully_qualified_name()}: perception"
        status = status_message(name, settings.model, self._problem(inputs, settings), values)
        message = DiagnosticArray(status=[status])
        message.header.stamp = now.to_msg()
        self._publisher.publish(message)

    def _problem(self, inputs, settings: Settings) -> str:
        if self._health.stuck:
            return self._health.stuck
        if inputs is None:
            return f"{self._node.state}, takes no queries"
        if self._watch.mismatches:
            return f"incompatible QoS on {', '.join(self._watch.mismatches)}: nothing arrives from that publisher"
        if refusal := self._buffer.refusal("image"):
            return f"images are refused: {refusal}"
        for stream in inputs.topics:
            if hint := inputs.hint(stream):
                # While nodes discover each other, a part of a camera's topics may be known for a moment.
                if hint == self._last_hint:
                    self._warn(stream, hint)
                self._last_hint = hint
                return hint
        if remark := self._clock_problem(settings):
            return remark
        for stream, topic in inputs.topics.items():
            if (count := inputs.publishers(stream)) > 1:
                # Stamps bind depth to an image, and two cameras of one frame_id cannot be told apart.
                return f"{topic} has {count} publishers: depth may be that of another camera; give each its own topics"
        if inputs.publishers("image") > 0 and is_silent(self._buffer, inputs.since, arrival_time(self._node)):
            return FASTDDS_HINT
        return ""

    def _clock_problem(self, settings: Settings) -> str:
        last = self._buffer.last
        if last is None:
            return ""
        if 0 < settings.max_image_age * SECOND < -last.lead:
            return (
                f"images are stamped {-last.lead / SECOND:.1f} s in the past when they come, which max_image_age "
                f"({settings.max_image_age:g} s) counts as too old: synchronise the clocks of camera and node"
            )
        return clock_remark(last)
