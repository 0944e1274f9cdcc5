"""Messages for a viewer, from a bag or from a running graph."""

import importlib
import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader

from lisa_ros.errors import RecordingError
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_files import check_path
from lisa_ros.viewers.streams import Stream

Sink = Callable[[str, object, int], None]  # role, message, time in ns
_SLICE = 0.1  # s


def read_bag(path: Path, streams: Sequence[Stream], sink: Sink) -> dict[str, str]:
    """Gives the messages of a bag to a sink, in the order of their recording.

    Args:
        path: Folder, or .mcap or .db3 file.
        streams: Topics to take.
        sink: Takes role, message and time of recording (ns).

    Returns:
        The bag's topics and their types.

    Raises:
        RecordingError: The path is no bag, is damaged, or holds none of the topics.
    """
    check_path(path)
    wanted = {(stream.topic, stream.type): stream for stream in streams}
    try:
        with Reader(path) as reader:
            topics = {one.topic: one.msgtype for one in reader.connections}
            taken = [one for one in reader.connections if (one.topic, one.msgtype) in wanted]
            if not taken:
                there = ", ".join(f"{topic} ({kind})" for topic, kind in sorted(topics.items())) or "nothing"
                raise RecordingError(f"{path} has none of the topics to show; it holds {there}. Name its topics")
            for connection, moment, data in reader.messages(connections=taken):
                stream = wanted[connection.topic, connection.msgtype]
                sink(stream.role, _parsed(bytes(data), stream.type), moment)
    except RecordingError:
        raise
    except Exception as error:  # whatever a reader of other people's files raises
        raise RecordingError(f"{path} cannot be read: {error}") from error
    return topics


def _parsed(data: bytes, kind: str):
    """Of the bag's own packages without ROS, as those need not be installed; ours are known here alone."""
    return deserialize_message(data, _class(kind)) if kind.startswith("lisa_ros/") else messages.parse(data, kind)


def _class(kind: str) -> type:
    """The class of "package/msg/Name". Raises ModuleNotFoundError where the package is not installed."""
    package, _, name = kind.rpartition("/")
    return getattr(importlib.import_module(package.replace("/", ".")), name)


def installed(streams: Sequence[Stream]) -> tuple[list[Stream], list[Stream]]:
    """The streams whose message packages are installed here, and the others."""
    there = [importlib.util.find_spec(stream.type.partition("/")[0]) is not None for stream in streams]
    pairs = list(zip(streams, there, strict=True))
    return [stream for stream, is_there in pairs if is_there], [stream for stream, is_there in pairs if not is_there]


def follow_graph(streams: Sequence[Stream], sink: Sink, seconds: float | None = None) -> None:
    """Gives the messages of a running graph to a sink, until Ctrl-C.

    Args:
        streams: Topics to subscribe to, of packages that are `installed`.
        sink: Takes role, message and time of arrival (ns).
        seconds: After which it ends; None for never.
    """
    context = rclpy.context.Context()
    rclpy.init(context=context, signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor(context=context)
    try:
        node = rclpy.create_node("rerun_recorder", context=context, start_parameter_services=False)
        for stream in streams:
            node.create_subscription(
                _class(stream.type),
                stream.topic,
                lambda message, role=stream.role: sink(role, message, time.time_ns()),
                _quality(stream),
            )
        executor.add_node(node)
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            executor.spin_once(timeout_sec=_SLICE)
    finally:
        executor.shutdown()
        rclpy.try_shutdown(context=context)


def _quality(stream: Stream) -> QoSProfile:
    if stream.latched:
        return QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
    return QoSProfile(depth=100 if stream.role == "transforms" else 10, reliability=ReliabilityPolicy.BEST_EFFORT)
