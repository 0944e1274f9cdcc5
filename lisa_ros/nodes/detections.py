"""Targets as vision_msgs/Detection3DArray, on machines that have vision_msgs."""

from std_msgs.msg import Header

from lisa_ros.msg import SegmentationTarget

try:
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose
except ImportError:
    Detection3DArray = None


def detection_array(header: Header, targets: list[SegmentationTarget]):
    """One detection per target with a box; the score is its mean mask probability, uncalibrated.

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
    detection = Detection3D(header=header, results=[hypothesis])
    detection.bbox.center = target.box.pose
    detection.bbox.size = target.extents
    return detection
