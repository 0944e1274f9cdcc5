"""What the node tells about itself once a second. No rclpy."""

import re
import statistics
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from lisa_ros.graph import fastdds_variable
from lisa_ros.msg import SegmentationResult
from lisa_ros.nodes.finder import ImageFinder
from lisa_ros.nodes.frame_buffer import SECOND, FrameBuffer

STATUS_NAMES = {
    getattr(SegmentationResult, name): name.lower()
    for name in (
        "OK",
        "NO_TARGET",
        "NO_IMAGE",
        "NO_DEPTH",
        "NO_TRANSFORM",
        "CANCELLED",
        "OUT_OF_MEMORY",
        "MODEL_ERROR",
        "REJECTED",
    )
}
_NUMBER = re.compile(r"\d+(\.\d+)?")
_MAX_REMARKS = 50  # kinds; each has a line in the diagnostics
_SILENCE = 3 * SECOND  # a matched publisher without messages for so long is worth a hint
FASTDDS_HINT = (
    "a publisher is matched, but no image arrives: with Fast DDS's default shared memory of 512 KB large best-effort "
    f"images are lost; set {fastdds_variable()} for the camera's process to this package's config/fastdds.xml"
)


@dataclass
class Health:
    """Counts by status, the times of the last 100 queries by stage, and the model's memory in bytes.

    last_rejection: why the last REJECTED query was, "" where none was.
    remarks: what was doubtful about the camera's messages, in the order of its first time, and how often.
    stuck: what to say while the model does not come back from a query; "" while it does.
    """

    counts: Counter = field(default_factory=Counter)
    stages: dict[str, deque] = field(default_factory=dict)
    memory: dict = field(default_factory=dict)
    last_rejection: str = ""
    remarks: Counter = field(default_factory=Counter)
    stuck: str = ""

    def count(self, status: int):
        """One more result."""
        self.counts[STATUS_NAMES[status]] += 1

    def note_stages(self, seconds: dict[str, float]):
        """Wall time per stage of one answer."""
        for stage, value in seconds.items():
            self.stages.setdefault(stage, deque(maxlen=100)).append(value)

    def note_remarks(self, remarks: Iterable[str]) -> list[str]:
        """Takes those of one answer; returns those that are new. Two that differ by numbers alone are one."""
        new = []
        for remark in remarks:
            kind = _NUMBER.sub("N", remark)
            if not self.remarks[kind] and len(self.remarks) <= _MAX_REMARKS:
                new.append(remark)
            self.remarks[kind] += 1
        return new

    def values(self) -> dict[str, str]:
        """All of it, by name."""
        values = {f"queries {name}": str(self.counts[name]) for name in STATUS_NAMES.values()}
        if self.last_rejection:
            values["queries last rejection"] = self.last_rejection
        values.update({f"remark: {text}": str(count) for text, count in self.remarks.items()})
        for stage, times in self.stages.items():
            ordered = sorted(times)
            values[f"stage {stage} p50 (s)"] = f"{statistics.median(ordered):.3f}"
            values[f"stage {stage} p95 (s)"] = f"{ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]:.3f}"
        values.update({f"memory {name}": str(value) for name, value in self.memory.items()})
        return values


def stream_values(buffer: FrameBuffer, finder: ImageFinder) -> dict[str, str]:
    """State of the camera's streams."""
    last = buffer.last
    values = {
        "image rate (Hz)": f"{buffer.rate:.1f}",
        "image age (s)": "none" if last is None else f"{finder.age(last) / SECOND:.3f}",
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
            "stream restarts": str(images.restarts),
        }
    )
    return values


def is_silent(buffer: FrameBuffer, since: int, now: int) -> bool:
    """Whether no image came for a while. since: when the subscription was made; ns, clock of arrivals, like now."""
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
