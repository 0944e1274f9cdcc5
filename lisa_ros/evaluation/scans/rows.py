"""One row for each question that was asked, in whatever way."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.evaluation.files import convert_write_errors, write_text_atomically
from lisa_ros.evaluation.metrics import Choice, Overlap
from lisa_ros.types import SegmentationResult

# Results that answer the question, whether or not there is a cloud.
ANSWERED = ("OK", "NO_TARGET", "NO_DEPTH", "NO_TRANSFORM")
REFUSED = "REJECTED"  # the words cannot be asked
NO_RESULT = "NO_RESULT"
# No answer is no refusal: where nothing should have been found, it counts as one wrong pixel.
_SILENCE = Overlap(0, 1, False, True)


@dataclass(frozen=True)
class ReplayAnswer:
    """The result of one question.

    Attributes:
        status: Name of a constant of SegmentationResult.msg, or NO_RESULT.
        message: What the node says about it.
        result: The answer; None without one.
        points: (N, 3) float32 m in the camera's optical frame; None without a cloud.
        seconds: Time from the question to the result's arrival, s.
        age: Age of the image at the result's arrival, s; None in lockstep and offline.
    """

    status: str
    message: str = ""
    result: SegmentationResult | None = None
    points: object = None
    seconds: float | None = None
    age: float | None = None

    @property
    def answered(self) -> bool:
        """Whether the question got an answer, be it that nothing was found."""
        return self.status in ANSWERED and self.result is not None

    @property
    def mask(self):
        """(H, W) bool, union of all masks; None where there is no pixel of any."""
        union = self.result.union_mask if self.answered else None
        return None if union is None or not union.any() else union


@dataclass(frozen=True)
class ReplayRow:
    """One scored question about one frame; None for values that do not exist.

    Attributes:
        protocol: "truth", "lockstep", "offline", "realtime" or the name of a baseline.
        scene: Name of the scan.
        query_id: Of the query.
        number: Of the query in its file.
        kind: Category of the query.
        text: The question.
        frame: Index of the frame.
        stamp: Of the frame, ns.
        status: As in `ReplayAnswer`.
        message: As in `ReplayAnswer`.
        answer: Text of the answer.
        masks: Number of masks.
        truncated: Whether the answer reached the token limit.
        digest: Of all masks.
        intersection: Pixels in prediction and truth.
        union: Pixels in either.
        present: Whether the truth has any pixel.
        found: Whether the prediction has any pixel.
        seconds: As in `ReplayAnswer`.
        age: As in `ReplayAnswer`.
        centroid_error: Distance of the cloud's centroid from that of the true points, m.
        precision_2cm: Share of the cloud's points within 2 cm of a true point.
        recall_2cm: Share of the true points within 2 cm of the cloud.
        precision_5cm: The same at 5 cm.
        recall_5cm: The same at 5 cm.
        step: Frames since the previous answer to the same query.
        stability: IoU with that answer, over the surface that both frames see.
        stability_truth: The same of the true masks.
        objects_hits: Objects that the mask chooses and that are right.
        objects_chosen: Objects that the mask chooses.
        objects_right: Objects that are right.
        stages: Seconds per stage of the node, or of the model offline.
    """

    protocol: str
    scene: str
    query_id: str
    number: int
    kind: str
    text: str
    frame: int
    stamp: int
    status: str
    message: str
    answer: str
    masks: int
    truncated: bool
    digest: str
    intersection: int
    union: int
    present: bool
    found: bool
    seconds: float | None = None
    age: float | None = None
    centroid_error: float | None = None
    precision_2cm: float | None = None
    recall_2cm: float | None = None
    precision_5cm: float | None = None
    recall_5cm: float | None = None
    step: int | None = None
    stability: float | None = None
    stability_truth: float | None = None
    objects_hits: int | None = None
    objects_chosen: int | None = None
    objects_right: int | None = None
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int]:
        """What rows of several protocols are joined by: the query and the frame, which is the image's stamp."""
        return self.query_id, self.frame

    @property
    def name(self) -> str:
        """Stem of the files of this question, in the folder of its protocol."""
        return f"{self.number:03d}-{self.frame:06d}"

    @property
    def answered(self) -> bool:
        """Whether the question got an answer, be it that nothing was found."""
        return self.status in ANSWERED

    @property
    def overlap(self) -> Overlap:
        """The pixels, for the metrics."""
        if not self.answered and not self.present:
            return _SILENCE
        return Overlap(self.intersection, self.union, self.present, self.found)

    @property
    def iou(self) -> float:
        """Intersection over union, exactly 1 where they are equal, 0 without an answer.

        LISA's constants, which the scores of all rows have, would keep a perfect mask a little below 1.
        """
        return self.overlap.exact_iou

    @property
    def choice(self) -> Choice | None:
        """Of objects; None where it is not known."""
        if self.objects_right is None:
            return None
        if not self.answered:
            return Choice(0, 1, self.objects_right)  # as _SILENCE
        return Choice(self.objects_hits, self.objects_chosen, self.objects_right)

    def as_row(self) -> QueryRow:
        """For the scores of `lisa_ros.evaluation.benchmarks.scores`; its key is the frame."""
        overlap = self.overlap
        return QueryRow(
            key=f"{self.scene}/{self.frame}", turn=self.number, text=self.text, kind=self.kind, sentence=True,
            intersection=overlap.intersection, union=overlap.union, present=overlap.present, found=overlap.found,
            answer=self.answer, masks=self.masks, truncated=self.truncated,
            error="" if self.answered else self.status, seconds=self.seconds or 0.0, exists=overlap.present,
        )  # fmt: skip


def write_rows(path: Path, rows: Sequence[ReplayRow]):
    """Writes rows as JSON lines; `read_rows` reads them. Raises ConfigurationError."""
    write_text_atomically(path, "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[ReplayRow]:
    """Rows as `write_rows` wrote them."""
    lines = path.read_text(encoding="utf-8").split("\n")  # an answer may hold other ends of lines, as U+2028
    return [ReplayRow(**json.loads(line)) for line in lines if line]


def write_table(path: Path, rows: Sequence[ReplayRow]):
    """Writes rows as CSV, with the IoU and a column for each stage. Raises ConfigurationError."""
    stages = list(dict.fromkeys(stage for row in rows for stage in row.stages))
    plain = [item.name for item in fields(ReplayRow) if item.name != "stages"]
    with convert_write_errors(path), path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file)
        table.writerow([*plain, "iou", *(f"stage {stage}" for stage in stages)])
        for row in rows:
            values = [getattr(row, name) for name in plain]
            table.writerow([*values, round(row.iou, 6), *(row.stages.get(stage) for stage in stages)])
