"""From words to where a gripper waits above the target: a pre-grasp pose, printed, and published for planner and RViz.

    python3 pick_target.py "the red mug"
    python3 pick_target.py "the red mug" --standoff 0.12 --opening 0.08 --hold 60

Publishes `pre_grasp` (geometry_msgs/PoseStamped) and `pre_grasp_marker` (visualization_msgs/Marker), latched. The
gripper points down (z), its fingers close along y. It is a suggestion: reach and collisions are the planner's.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
import rclpy
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.utilities import remove_ros_args
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from lisa_ros.client import PerceptionClient, PerceptionResult, TargetLocation
from lisa_ros.errors import LisaError
from lisa_ros.geometry.poses import quaternion_of

FINGER_DEPTH = 0.02  # m that the fingertips go below the top
TOP_SHARE = 0.02  # of the points, which may lie above the top: flying pixels
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class NotPickableError(LisaError):
    """The target is not fit to be picked from above; the message says why."""


@dataclass(frozen=True)
class PreGrasp:
    """pose: (4, 4) frame_id <- gripper, its fingertips `standoff` above where they close. width: m along y."""

    frame_id: str
    pose: np.ndarray
    width: float


def pre_grasp(location: TargetLocation, points: np.ndarray, standoff: float, opening: float) -> PreGrasp:
    """The pose above a target from which a gripper goes straight down.

    Args:
        location: Of the target; its box gives the axes.
        points: (N, 3) m, the target's cloud, in the location's frame; it gives the height.
        standoff: m between the fingertips and the height at which they close.
        opening: m, the widest thing that fits between the fingers.

    Raises:
        NotPickableError: The box does not stand upright, or is too wide.
    """
    if not location.has_support:
        raise NotPickableError(
            "no plane was found that the target stands on, so that its box may be tilted; set the node's parameter "
            "`up` or `target_frame`"
        )
    width = float(location.extents[1])
    if width > opening:
        raise NotPickableError(f"the target is {1000 * width:.0f} mm wide, the gripper opens {1000 * opening:.0f} mm")
    across, up = location.pose[:3, 1], location.pose[:3, 2]
    bottom = (location.pose[:3, 3] @ up) - location.extents[2] / 2
    top = float(np.quantile(points @ up, 1 - TOP_SHARE))
    tips = max(top - FINGER_DEPTH, (top + bottom) / 2)  # of a flat thing at half its height
    pose = np.eye(4)
    pose[:3, :3] = np.column_stack([np.cross(across, -up), across, -up])
    pose[:3, 3] = location.pose[:3, 3] + (tips + standoff - location.pose[:3, 3] @ up) * up
    return PreGrasp(location.frame_id, pose, width)


def choose(result: PerceptionResult) -> int:
    """Index of the target with most points. Raises NotPickableError."""
    counts = [target.location.point_count if target.location else 0 for target in result.targets]
    if not any(counts) or result.cloud is None:
        raise NotPickableError(f"{result.status.name}: {result.message or result.answer or 'nothing was located'}")
    return int(np.argmax(counts))


def messages(grasp: PreGrasp, stamp: int, standoff: float) -> tuple[PoseStamped, Marker]:
    """The pose, and an arrow along the way down."""
    header = Header(frame_id=grasp.frame_id)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    start, end = grasp.pose[:3, 3], grasp.pose[:3, 3] + standoff * grasp.pose[:3, 2]
    x, y, z, w = quaternion_of(grasp.pose[:3, :3])
    pose = Pose(position=_point(start), orientation=Quaternion(x=x, y=y, z=z, w=w))
    arrow = Marker(header=header, ns="pre_grasp", type=Marker.ARROW, action=Marker.ADD)
    arrow.points, arrow.color = [_point(start), _point(end)], ColorRGBA(r=0.1, g=0.3, b=1.0, a=0.9)
    arrow.scale.x, arrow.scale.y, arrow.scale.z = 0.006, 0.018, 0.03
    return PoseStamped(header=header, pose=pose), arrow


def _point(values: np.ndarray) -> Point:
    x, y, z = map(float, values)
    return Point(x=x, y=y, z=z)


def main() -> int:
    """0 where a pose was published, 1 where the target cannot be picked, 2 where nobody answered."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("query", help="what to pick")
    parser.add_argument("--name", default="/lisa", help="namespace of the perception node (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="default: %(default)g")
    parser.add_argument("--standoff", type=float, default=0.1, metavar="M", help="default: %(default)g")
    parser.add_argument("--opening", type=float, default=0.085, metavar="M", help="default: %(default)g")
    parser.add_argument("--force", action="store_true", help="also where warnings speak against it")
    parser.add_argument("--hold", type=float, default=5.0, metavar="S", help="publish so long (default: %(default)g)")
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])

    try:
        with PerceptionClient(args.name) as lisa:
            result = lisa.ask(args.query, timeout=args.timeout)
        index = choose(result)
        location = result.targets[index].location
        if location.grasp_warnings and not args.force:
            raise NotPickableError("; ".join(location.grasp_warnings))
        grasp = pre_grasp(location, result.cloud.of_target(index).points, args.standoff, args.opening)
    except LisaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1 if isinstance(error, NotPickableError) else 2

    pose, arrow = messages(grasp, result.stamp, args.standoff)
    at, turn = pose.pose.position, pose.pose.orientation
    print(f"{result.targets[index].phrase or args.query}: {1000 * grasp.width:.0f} mm between the fingers")
    print(f"frame {grasp.frame_id}, position {at.x:.4f} {at.y:.4f} {at.z:.4f} m")
    print(f"orientation (x y z w) {turn.x:.4f} {turn.y:.4f} {turn.z:.4f} {turn.w:.4f}", flush=True)

    rclpy.init()
    try:
        node = Node("pick_target")
        node.create_publisher(PoseStamped, "pre_grasp", LATCHED).publish(pose)
        node.create_publisher(Marker, "pre_grasp_marker", LATCHED).publish(arrow)
        time.sleep(args.hold)
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
