"""RViz markers of one answer: the boxes, their names, and nothing left of the answer before."""

from geometry_msgs.msg import Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from lisa_ros.msg import SegmentationTarget

_LABEL_HEIGHT = 0.03  # m
_BOX_COLOUR = ColorRGBA(r=0.1, g=0.8, b=0.3, a=0.35)
_LABEL_COLOUR = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)


def marker_array(header: Header, targets: list[SegmentationTarget]) -> MarkerArray:
    """header: frame of the boxes. Starts with DELETEALL, so that a latched array never adds to an older one."""
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for number, target in enumerate(targets):
        if target.has_box:
            markers += [_box(header, number, target), _label(header, number, target)]
    return MarkerArray(markers=markers)


def _box(header: Header, number: int, target: SegmentationTarget) -> Marker:
    # RViz draws nothing for a cube with a side of zero, which a flat target has.
    scale = Vector3(x=max(target.extents.x, 1e-3), y=max(target.extents.y, 1e-3), z=max(target.extents.z, 1e-3))
    return Marker(
        header=header,
        ns="box",
        id=number,
        type=Marker.CUBE,
        action=Marker.ADD,
        pose=target.box.pose,
        scale=scale,
        color=_BOX_COLOUR,
    )


def _label(header: Header, number: int, target: SegmentationTarget) -> Marker:
    marker = Marker(
        header=header,
        ns="label",
        id=number,
        type=Marker.TEXT_VIEW_FACING,
        action=Marker.ADD,
        text=target.phrase or f"target {number}",
    )
    marker.pose.position = target.box.pose.position
    marker.pose.orientation.w = 1.0
    marker.scale.z = _LABEL_HEIGHT
    marker.color = _LABEL_COLOUR
    return marker
