"""RViz markers of one answer: boxes, names, grasps, the support, and nothing left of the answer before."""

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseStamped, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.msg import SegmentationTarget
from lisa_ros.nodes.common.messages import point
from lisa_ros.nodes.perception.results.target_messages import support_side

_LABEL_HEIGHT = 0.03  # m
_FINGER = 0.05  # m, length of the drawn fingers
_APPROACH = 0.12  # m, length of the approach arrow above the top surface
_LINE = 0.004  # m
_SUPPORT_THICKNESS, _SUPPORT_MARGIN = 0.001, 0.15  # m
_BOX_COLOUR = ColorRGBA(r=0.1, g=0.8, b=0.3, a=0.35)
_WARNING_COLOUR = ColorRGBA(r=1.0, g=0.55, b=0.0, a=0.35)
_GRASP_COLOUR = ColorRGBA(r=0.1, g=0.3, b=1.0, a=0.9)
_UNCERTAINTY_COLOUR = ColorRGBA(r=1.0, g=1.0, b=0.2, a=0.25)
_SUPPORT_COLOUR = ColorRGBA(r=0.4, g=0.5, b=0.9, a=0.25)
_LABEL_COLOUR = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)


def marker_array(header: Header, targets: list[SegmentationTarget], support: PoseStamped | None = None) -> MarkerArray:
    """header: frame of the boxes. Starts with DELETEALL, so that a latched array never adds to an older one.

    Namespaces: box (orange where something speaks against grasping), label, uncertainty (two standard deviations of the
    centre), closing (a gripper around the object, as wide as it), approach, support. Ids: those of followed targets,
    else the indices of the targets.
    """
    markers = [Marker(header=header, action=Marker.DELETEALL)]
    for index, target in enumerate(targets):
        number = target.id or index
        if target.has_box:
            markers += [_box(header, number, target), _label(header, number, target)]
            markers.append(_uncertainty(header, number, target))
        if target.has_grasp:
            markers += [_closing(header, number, target), _approach(header, number, target)]
    if support is not None:
        markers.append(_support(header, targets, support.pose))
    return MarkerArray(markers=markers)


def _marker(header: Header, name: str, number: int, kind: int, colour: ColorRGBA, pose: Pose) -> Marker:
    return Marker(header=header, ns=name, id=number, type=kind, action=Marker.ADD, pose=pose, color=colour)


def _box(header: Header, number: int, target: SegmentationTarget) -> Marker:
    colour = _WARNING_COLOUR if target.grasp_warnings else _BOX_COLOUR
    marker = _marker(header, "box", number, Marker.CUBE, colour, target.box.pose)
    marker.scale = _visible(target.extents)
    return marker


def _uncertainty(header: Header, number: int, target: SegmentationTarget) -> Marker:
    marker = _marker(header, "uncertainty", number, Marker.SPHERE, _UNCERTAINTY_COLOUR, target.box.pose)
    stddev = target.center_stddev
    marker.scale = _visible(Vector3(x=4 * stddev.x, y=4 * stddev.y, z=4 * stddev.z))
    return marker


def _label(header: Header, number: int, target: SegmentationTarget) -> Marker:
    marker = _marker(header, "label", number, Marker.TEXT_VIEW_FACING, _LABEL_COLOUR, Pose())
    marker.pose.position = target.box.pose.position
    marker.scale.z = _LABEL_HEIGHT
    lines = [f"{target.phrase or f'target {number}'}{f' #{target.id}' if target.id else ''}"]
    if target.has_grasp:
        lines.append(f"{1000 * target.grasp_width:.0f} mm")
    lines += [warning.split(":")[0].replace("_", " ") for warning in target.grasp_warnings]
    marker.text = "\n".join(lines)
    return marker


def _closing(header: Header, number: int, target: SegmentationTarget) -> Marker:
    marker = _marker(header, "closing", number, Marker.LINE_LIST, _GRASP_COLOUR, target.grasp)
    marker.scale.x = _LINE
    half = target.grasp_width / 2
    left, right = Point(y=-half), Point(y=half)
    left_end, right_end = Point(y=-half, z=-_FINGER), Point(y=half, z=-_FINGER)
    marker.points = [left, right, left, left_end, right, right_end]
    return marker


def _approach(header: Header, number: int, target: SegmentationTarget) -> Marker:
    marker = _marker(header, "approach", number, Marker.ARROW, _GRASP_COLOUR, Pose())
    turn, tip = target.top_surface.orientation, target.top_surface.position
    pose = pose_matrix((tip.x, tip.y, tip.z, turn.x, turn.y, turn.z, turn.w))
    marker.points = [point((pose @ np.array([0, 0, -_APPROACH, 1]))[:3]), tip]
    marker.scale = Vector3(x=_LINE, y=3 * _LINE, z=5 * _LINE)  # shaft, head, length of the head
    return marker


def _support(header: Header, targets: list[SegmentationTarget], pose: Pose) -> Marker:
    marker = _marker(header, "support", 0, Marker.CUBE, _SUPPORT_COLOUR, pose)
    side = support_side(pose, targets, _SUPPORT_MARGIN)
    marker.scale = Vector3(x=side, y=side, z=_SUPPORT_THICKNESS)
    return marker


def _visible(size: Vector3) -> Vector3:
    # RViz draws nothing for a shape with a side of zero, which a flat target has.
    return Vector3(x=max(size.x, 1e-3), y=max(size.y, 1e-3), z=max(size.z, 1e-3))
