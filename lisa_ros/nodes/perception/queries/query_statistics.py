"""Counts and times of queries, for diagnostics. No rclpy."""

import re
import statistics
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from lisa_ros.msg import SegmentationResult

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


@dataclass
class QueryStatistics:
    """Counts and times since the start of the node.

    Attributes:
        counts: Results by the name of their status.
        stages: Wall times, s, of the last 100 queries by stage.
        memory: The model's memory in bytes by name, and its device.
        last_rejection: Why the last REJECTED query was; "" where none was.
        remarks: What was doubtful about the camera's messages, and how often, in the order of its first time.
        stall: Why the model counts as stalled; "" while it does not.
    """

    counts: Counter = field(default_factory=Counter)
    stages: dict[str, deque] = field(default_factory=dict)
    memory: dict = field(default_factory=dict)
    last_rejection: str = ""
    remarks: Counter = field(default_factory=Counter)
    stall: str = ""

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
