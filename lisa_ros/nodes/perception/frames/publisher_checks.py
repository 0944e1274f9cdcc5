"""Publishers whose topic, type or QoS does not fit a subscription, and what to set where that is so."""

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible, qos_policy_name_from_kind
from rclpy.topic_endpoint_info import TopicEndpointInfo

from lisa_ros.rclpy_compat import SubscriptionEventCallbacks

_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
# Suffixes of image_transport. Those of video are there to name them in hints.
_SUFFIXES = {"": _IMAGE, "/compressed": _COMPRESSED, "/compressedDepth": _COMPRESSED}
_OTHERS = ("/theora", "/ffmpeg", "/zstd")


def matching_publishers(node: Node, topic: str, kind: str) -> list[TopicEndpointInfo]:
    """The publishers of a topic that are of a type."""
    return [one for one in node.get_publishers_info_by_topic(topic) if one.topic_type == kind]


def topic_hint(node: Node, name: str, topic: str, kind: str) -> str:
    """What to set where a topic has no publisher of the subscribed type, but a related topic has one; else "".

    name: "image", "depth" or "camera_info", as it is remapped.
    """
    if matching_publishers(node, topic, kind):
        return ""
    stem = topic
    while suffix := next((one for one in (*_SUFFIXES, *_OTHERS) if one and stem.endswith(one)), ""):
        stem = stem.removesuffix(suffix)
    near = {suffix: node.get_publishers_info_by_topic(stem + suffix) for suffix in (*_SUFFIXES, *_OTHERS)}
    if not any(near.values()):
        return ""
    listed = [f"{stem + suffix} by {_description(one)}" for suffix, found in near.items() for one in found]
    return f"nobody publishes {topic} as {kind}; there are {', '.join(listed)}: {_remedy(name, topic, stem, near)}"


def suffix_hint(name: str, base: str) -> str:
    """What to do where the topic that a stream is remapped to ends as a transport's own does; "" where it does not."""
    transport = "compressed" if name == "image" else "compressedDepth"
    if not base.endswith(f"/{transport}"):
        return ""
    stem = base.removesuffix(f"/{transport}")
    return f"`{name}` is remapped to {base}: set {name}_transport to {transport} and remap it to {stem} (no suffix)"


def _remedy(name: str, topic: str, stem: str, near: dict[str, list[TopicEndpointInfo]]) -> str:
    if name.endswith("camera_info"):
        return f"remap `{name}` to a topic of sensor_msgs/msg/CameraInfo"
    suffix = "/compressed" if name == "image" else "/compressedDepth"
    transports = {suffix: suffix.removeprefix("/"), "": "raw"}
    # image_transport publishes all of them: who has named one means that one.
    for suffix in sorted(transports, key=lambda suffix: not topic.removeprefix(stem).startswith(suffix or " ")):
        if any(one.topic_type == _SUFFIXES[suffix] for one in near[suffix]):
            transport = transports[suffix]
            return f"set {name}_transport to {transport} and remap `{name}` to {stem} (without a suffix)"
    if any(one.topic_type == _COMPRESSED for one in near[""]):
        transport = "compressed" if name == "image" else "compressedDepth"
        return f"set {name}_transport to {transport} and remap `{name}/{transport}` to {stem}"
    return f"let the camera publish sensor_msgs/msg/Image, or republish it (image_transport republish), as {stem}"


def _description(one: TopicEndpointInfo) -> str:
    profile = one.qos_profile
    namespace = one.node_namespace.rstrip("/")
    qos = f"{profile.reliability.name}, {profile.durability.name}".lower().replace("_", " ")
    return f"{namespace}/{one.node_name} ({one.topic_type}; {qos})"


class QosMonitor:
    """Logs publishers with an incompatible QoS. mismatches: topic -> policy, while there is one."""

    def __init__(self, node: Node):
        self._node = node
        self._requested: dict[str, QoSProfile] = {}
        self.mismatches: dict[str, str] = {}

    def events(self, topic: str, requested: QoSProfile) -> SubscriptionEventCallbacks:
        """Event callbacks for a subscription of a topic with a QoS."""
        self._requested[topic] = requested
        return SubscriptionEventCallbacks(incompatible_qos=lambda event: self._on_mismatch(topic, event))

    def forget_gone(self):
        """Drops mismatches whose publisher is gone, of which there is no event."""
        self.mismatches = {topic: policy for topic, policy in self.mismatches.items() if self._has_incompatible(topic)}

    def _has_incompatible(self, topic: str) -> bool:
        offers = (publisher.qos_profile for publisher in self._node.get_publishers_info_by_topic(topic))
        fits = (qos_check_compatible(offer, self._requested[topic])[0] for offer in offers)
        return QoSCompatibility.ERROR in fits

    def _on_mismatch(self, topic: str, event):
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self.mismatches[topic] = policy
        self._node.get_logger().error(
            f"{topic}: a publisher offers a QoS that does not fit this subscription (policy {policy}); "
            "nothing will arrive from it"
        )
