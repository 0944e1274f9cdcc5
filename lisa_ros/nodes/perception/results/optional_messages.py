"""Boxes as messages of packages that not every machine has: moveit_msgs and vision_msgs."""

from geometry_msgs.msg import Pose, PoseStamped, Vector3
from std_msgs.msg import Header

from lisa_ros.geometry.poses import pose_matrix
from lisa_ros.msg import SegmentationTarget
from lisa_ros.nodes.common.messages import pose_message
from lisa_ros.nodes.perception.results.target_messages import support_side

try:
    from moveit_msgs.msg import CollisionObject, PlanningScene
    from shape_msgs.msg import SolidPrimitive
except ImportError:
    PlanningScene = None
try:
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose
except ImportError:
    Detection3DArray = None

SUPPORT_ID = "lisa_support"
# A slab and not MoveIt's endless plane, which would run through the base of a robot that stands on the same table.
_SLAB_THICKNESS, _SLAB_MARGIN = 0.02, 0.15  # m


def planning_scene(header: Header, query_id: str, targets: list[SegmentationTarget], support: PoseStamped | None):
    """PlanningScene diff with a box for each located target, `lisa_QUERY_INDEX`, and a slab below them, `lisa_support`.

    header: frame of the boxes. None without moveit_msgs.
    """
    if PlanningScene is None:
        return None
    objects = [
        _solid(header, f"lisa_{query_id}_{index}", target.box.pose, target.extents)
        for index, target in enumerate(targets)
        if target.has_box
    ]
    if support is not None:
        objects.append(_slab(header, targets, support.pose))
    return _diff(objects)


class PlanningSceneDiffs:
    """What was added to the planning scene, so that an answer takes the one before out again."""

    def __init__(self):
        self._added: dict[str, Header] = {}

    def next(self, scene):
        """The diff that leads from the last answer's objects to those of `scene`, or to none where it is None.

        Returns None where nothing changes.
        """
        objects = [] if scene is None else scene.world.collision_objects
        ids = {item.id for item in objects}
        removed = [_removal(header, name) for name, header in self._added.items() if name not in ids]
        self._added = {item.id: item.header for item in objects}
        return _diff([*removed, *objects]) if removed or objects else None


def _diff(objects: list):
    scene = PlanningScene(is_diff=True)
    scene.robot_state.is_diff = True  # without it MoveIt would take the empty state for the robot's
    scene.world.collision_objects = objects
    return scene


def _solid(header: Header, name: str, pose: Pose, size: Vector3):
    # In MoveIt a side of zero is no shape.
    sides = [max(1e-3, float(side)) for side in (size.x, size.y, size.z)]
    primitive = SolidPrimitive(type=SolidPrimitive.BOX, dimensions=sides)
    return CollisionObject(
        header=header,
        id=name,
        pose=pose,
        primitives=[primitive],
        primitive_poses=[Pose()],
        operation=CollisionObject.ADD,
    )


def _slab(header: Header, targets: list[SegmentationTarget], support: Pose):
    turn, origin = support.orientation, support.position
    matrix = pose_matrix((origin.x, origin.y, origin.z, turn.x, turn.y, turn.z, turn.w))
    center = matrix[:3, 3] - matrix[:3, 2] * _SLAB_THICKNESS / 2
    side = support_side(support, targets, _SLAB_MARGIN)
    return _solid(header, SUPPORT_ID, pose_message(center, matrix[:3, :3]), Vector3(x=side, y=side, z=_SLAB_THICKNESS))


def _removal(header: Header, name: str):
    return CollisionObject(header=header, id=name, operation=CollisionObject.REMOVE)


def detection_array(header: Header, targets: list[SegmentationTarget]):
    """One detection per target with a box; the score is its mean mask probability, uncalibrated.

    Its id is that of a followed target; empty for others.

    None without vision_msgs.
    """
    if Detection3DArray is None:
        return None
    return Detection3DArray(
        header=header, detections=[_detection(header, target) for target in targets if target.has_box]
    )


def _detection(header: Header, target: SegmentationTarget):
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = target.phrase
    hypothesis.hypothesis.score = float(target.mean_probability)
    hypothesis.pose.pose = target.box.pose
    detection = Detection3D(header=header, results=[hypothesis], id=str(target.id) if target.id else "")
    detection.bbox.center = target.box.pose
    detection.bbox.size = target.extents
    return detection
