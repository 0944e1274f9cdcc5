"""What a perception node says about a query, as plain data: arrays are numpy, stamps ns, lengths m. No rclpy."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from lisa_ros.action import Segment
from lisa_ros.geometry.report import TopGrasp
from lisa_ros.msg import SegmentationResult as ResultMessage
from lisa_ros.types import SegmentationResult, Target


class QueryStatus(IntEnum):
    """How a query ended: the constants of `lisa_ros/msg/SegmentationResult`."""

    OK = ResultMessage.OK
    NO_TARGET = ResultMessage.NO_TARGET
    NO_IMAGE = ResultMessage.NO_IMAGE
    NO_DEPTH = ResultMessage.NO_DEPTH
    NO_TRANSFORM = ResultMessage.NO_TRANSFORM
    CANCELLED = ResultMessage.CANCELLED
    OUT_OF_MEMORY = ResultMessage.OUT_OF_MEMORY
    MODEL_ERROR = ResultMessage.MODEL_ERROR
    REJECTED = ResultMessage.REJECTED

    @property
    def has_masks(self) -> bool:
        """Whether masks are valid: OK, and NO_DEPTH and NO_TRANSFORM, which lack points alone."""
        return self in (QueryStatus.OK, QueryStatus.NO_DEPTH, QueryStatus.NO_TRANSFORM)


class QueryStage(IntEnum):
    """What the node does with a query: the constants of the feedback of `lisa_ros/action/Segment`.

    FOLLOWING is for followed queries, whose frames `FollowHandle` gives.
    """

    QUEUED = Segment.Feedback.QUEUED
    ENCODING = Segment.Feedback.ENCODING
    GENERATING = Segment.Feedback.GENERATING
    MASK = Segment.Feedback.MASK
    CLOUD = Segment.Feedback.CLOUD
    FOLLOWING = Segment.Feedback.FOLLOWING


@dataclass(frozen=True)
class QueryFeedback:
    """News of a query that runs.

    Attributes:
        stage: What the node does now.
        text: Answer so far.
        delta: What `text` has that the feedback before had not. All of `text` where the node has rewritten it.
        masks: Number of masks so far.
    """

    stage: QueryStage
    text: str
    delta: str
    masks: int


@dataclass(frozen=True)
class PointCloud:
    """Points with colours.

    Attributes:
        frame_id: Frame of `points`.
        points: (N, 3) float32, m.
        colors: (N, 3) uint8 RGB.
        targets: (N,) uint32, for each point the index of its target in `PerceptionResult.targets`; None for the rest
            of the scene.
    """

    frame_id: str
    points: np.ndarray
    colors: np.ndarray
    targets: np.ndarray | None = None

    def of_target(self, index: int) -> "PointCloud":
        """The points of one target.

        Args:
            index: Index of the target in `PerceptionResult.targets`.

        Returns:
            A cloud in the same frame; without points where the target has none.

        Raises:
            ValueError: This is the cloud of a scene, whose points belong to no target.
        """
        if self.targets is None:
            raise ValueError("the points of a scene belong to no target; take `PerceptionResult.cloud`")
        chosen = self.targets == index
        return PointCloud(self.frame_id, self.points[chosen], self.colors[chosen], self.targets[chosen])


@dataclass(frozen=True)
class TargetLocation:
    """Where a target is: its oriented box, what it stands on, and how to grasp it.

    Attributes:
        frame_id: Frame of all coordinates here.
        pose: (4, 4) float64, frame_id <- box. The origin is the box's centre. With `has_support` the box is upright: x
            along the longer horizontal side, y along the shorter one, z up.
        extents: (3,) m, full side lengths along the box's axes.
        centroid: (3,) m, mean of the target's points.
        point_count: Number of the target's points.
        depth_coverage: Share of the mask's pixels with valid depth, 0 to 1.
        has_support: A plane was found that the target stands on.
        completed: The hidden back was added by symmetry.
        visible_share: Estimated share of the surface that was seen, 0 to 1.
        center_stddev: (3,) m, standard deviations of the centre along the box's axes.
        extents_stddev: (3,) m, standard deviations of `extents`.
        height: m, top of the target above the support; NaN without one.
        grasp: A parallel gripper's grasp from above, not checked for reach and collisions; None without a support.
        grasp_warnings: Why not to grasp blindly, each "key: explanation"; empty where nothing speaks against it.
    """

    frame_id: str
    pose: np.ndarray
    extents: np.ndarray
    centroid: np.ndarray
    point_count: int
    depth_coverage: float
    has_support: bool
    completed: bool
    visible_share: float
    center_stddev: np.ndarray
    extents_stddev: np.ndarray
    height: float
    grasp: TopGrasp | None
    grasp_warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PerceptionTarget(Target):
    """One thing that was asked for or that the answer names. The fields without a line here are those of `Target`.

    An alternative is a plain `Target`, the mask of the correction: for its box and cloud ask for it.

    Attributes:
        components: Number of connected parts of the mask.
        touches_border: The target may go on outside the image, or outside the region that was asked about.
        location: None where depth or the transform was missing, or where no clouds were asked for.
    """

    components: int
    touches_border: bool
    location: TargetLocation | None


@dataclass(frozen=True, kw_only=True)
class PerceptionResult(SegmentationResult):
    """The outcome of one query. `query`, `answer`, `seconds`, `truncated` and `union_mask` are those of the base class.

    Attributes:
        status: How the query ended.
        message: For a person: what happened and what to do about it.
        query_id: The node's name for the query, as on its topic `result`.
        conversation_id: As in the query.
        stamp: ns, of the image that was segmented; 0 where there was none.
        frame_id: Optical frame of that image.
        received: ns of the node's clock, when the query arrived.
        image_age: s, age of the image when the result was published.
        model: Checkpoint, precision and prompt template.
        targets: In the order of the answer, or of the phrases; masks have the image's size.
        answer_stamp: ns, of the image that the model answered about: `stamp`, or where targets were followed to this
            image that of an earlier one; 0 without an answer.
        support_pose: (4, 4) float64, support_frame_id <- a point on the plane that the targets stand on, z up; None
            where no plane was found.
        support_frame_id: Frame of `support_pose`, "" without one.
        cloud: Points of all targets; None where there are none, and where they did not arrive: `message` says so then.
        scene_cloud: Points of the rest of the scene, for a client that takes them (`clouds="scene"`); None otherwise.
    """

    status: QueryStatus
    message: str
    query_id: str
    conversation_id: str
    stamp: int
    frame_id: str
    received: int
    image_age: float
    model: str
    targets: tuple[PerceptionTarget, ...]
    answer_stamp: int = 0
    support_pose: np.ndarray | None = None
    support_frame_id: str = ""
    cloud: PointCloud | None = None
    scene_cloud: PointCloud | None = None
