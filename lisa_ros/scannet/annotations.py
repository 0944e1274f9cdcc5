"""Annotations of a scan, read and written: objects, their categories, an instance and a label image for every frame."""

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lisa_ros.errors import ConfigurationError, RecordingError
from lisa_ros.git_lfs import explain_pointer
from lisa_ros.scannet.image_archive import ImageArchive
from lisa_ros.scannet.scene_files import SceneFiles

UNANNOTATED = 0  # in instance and label images
_LARGEST_ID = 254  # instance images are 8 bit and hold objectId + 1
# Both images were filtered on their own, so their edges differ; an object of some size must still have its own label.
_CHECKED_SHARE = 0.002
_AGREEMENT = 0.5
_DATE = (2020, 1, 1, 0, 0, 0)  # the same recording gives the same bytes


@dataclass(frozen=True)
class AnnotatedObject:
    """One annotated object. id: its objectId; instance images hold id + 1. label: free text, as it was annotated."""

    id: int
    label: str


@dataclass(frozen=True)
class Category:
    """One row of the label table. id: its value in label images. count: how often it was annotated."""

    id: int
    raw: str
    category: str
    count: int = 0


class Annotation:
    """An open annotation of one scan. A context manager.

    objects: objectId -> AnnotatedObject. categories: free-text label -> Category. Raises RecordingError for files that
    are missing or damaged, objects that occur twice or do not fit into 8 bits, and labels that the table lacks.
    """

    def __init__(self, files: SceneFiles):
        self.scene = files.scene
        for path in (files.aggregation, files.label_table):
            if pointer := explain_pointer(path):
                raise RecordingError(pointer)
        self.objects = read_aggregation(files.aggregation)
        self.categories = read_label_table(files.label_table)
        unknown = sorted({item.label for item in self.objects.values()} - set(self.categories))
        if unknown:
            raise RecordingError(
                f"{files.label_table} lacks the labels {', '.join(unknown)} of {files.aggregation.name}; "
                "use ScanNet's current table"
            )
        self._last: tuple[int, np.ndarray] | None = None
        self._instances = ImageArchive(files.instances, np.uint8)
        try:
            self._labels = ImageArchive(files.labels, np.uint16)
        except BaseException:
            self._instances.close()
            raise

    def __enter__(self) -> "Annotation":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes the archives."""
        self._instances.close()
        self._labels.close()

    def instances(self, frame: int) -> np.ndarray:
        """(H, W) uint8, read-only: objectId + 1 or 0, after it was held against the objects and the label image.

        The last frame is kept: many queries are asked about one. Raises RecordingError for an id that is no object's,
        and for an object with another label in the label image.
        """
        if self._last is None or self._last[0] != frame:
            self._last = frame, self._read(frame)
        return self._last[1]

    def data(self, frame: int) -> tuple[bytes, bytes]:
        """Bytes of a frame's instance and label image as they are; b"" for one that is not there or damaged."""
        return _data(self._instances, frame), _data(self._labels, frame)

    def _read(self, frame: int) -> np.ndarray:
        instances, labels = self._instances.read(frame), self._labels.read(frame)
        if instances.shape != labels.shape:
            raise RecordingError(
                f"frame {frame} of {self.scene}: instance image {instances.shape} and label image {labels.shape} differ"
            )
        present, counts = np.unique(instances, return_counts=True)
        for value, count in zip(present.tolist(), counts.tolist(), strict=True):
            if value != UNANNOTATED:
                self._check(frame, value, labels[instances == value], count / instances.size)
        instances.flags.writeable = False
        return instances

    def _check(self, frame: int, value: int, labels: np.ndarray, share: float):
        item = self.objects.get(value - 1)
        if item is None:
            raise RecordingError(
                f"{self._instances.path}, frame {frame}: pixel value {value} means object {value - 1}, which the "
                f"aggregation lacks; it has {', '.join(map(str, sorted(self.objects)))}"
            )
        expected = self.categories[item.label].id
        if share >= _CHECKED_SHARE and np.mean(labels == expected) < _AGREEMENT:
            found = np.bincount(labels).argmax()
            raise RecordingError(
                f"{self._labels.path}, frame {frame}: object {item.id} ({item.label!r}) has label {found}, the table "
                f"says {expected}; instance and label images belong to different annotations"
            )


def _data(archive: ImageArchive, frame: int) -> bytes:
    try:
        return archive.data(frame)
    except RecordingError:
        return b""


def read_aggregation(path: Path) -> dict[int, AnnotatedObject]:
    """objectId -> object of `<scene>.aggregation.json`. Raises RecordingError."""
    try:
        groups = json.loads(path.read_text(encoding="utf-8-sig"))["segGroups"]
        items = [AnnotatedObject(int(group["objectId"]), _label(str(group["label"]))) for group in groups]
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path} is no aggregation: {error!r}") from error
    for item in items:
        if not 0 <= item.id <= _LARGEST_ID:
            raise RecordingError(f"{path}: objectId {item.id} is not within 0..{_LARGEST_ID}")
    if len({item.id for item in items}) < len(items):
        raise RecordingError(f"{path} has the same objectId twice")
    return {item.id: item for item in items}


def read_label_table(path: Path) -> dict[str, Category]:
    """Free-text label -> row of `scannetv2-labels.combined.tsv`. Blanks at a label's ends do not count: of two rows
    that differ in them alone, the one without goes first. Raises RecordingError.
    """  # noqa: D205
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"cannot read the label table {path}: {error}") from error
    columns = [column.strip() for column in lines[0].split("\t")] if lines else []
    if not {"id", "raw_category", "category"} <= set(columns):
        raise RecordingError(f"{path} has the columns {columns}; id, raw_category and category must be among them")
    found: dict[str, Category] = {}
    for raw, row in _rows(path, columns, lines[1:]):
        if raw == row.raw or row.raw not in found:
            found[row.raw] = row
    return found


def _rows(path: Path, columns: list[str], lines: list[str]) -> Iterable[tuple[str, Category]]:
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        values = dict(zip(columns, line.split("\t"), strict=False))
        try:
            raw, category = values["raw_category"], _label(values["category"])
            yield raw, Category(int(values["id"]), _label(raw), category, int(values.get("count") or 0))
        except (KeyError, ValueError) as error:
            raise RecordingError(f"{path}, line {number}: {error!r} in {line!r}") from error


def _label(text: str) -> str:
    """Annotators typed freely: "chair " and "office  chair" are no other labels than without those blanks."""
    return " ".join(text.split())


class AnnotationWriter:
    """Writes instance and label images frame by frame; a context manager that writes the tables first.

    Raises ConfigurationError where the files cannot be written.
    """

    def __init__(self, files: SceneFiles, objects: Iterable[AnnotatedObject], categories: Iterable[Category]):
        categories = list(categories)
        self._label_ids = np.zeros(256, np.uint16)  # pixel of an instance image -> pixel of the label image
        ids = {row.raw: row.id for row in categories}
        groups = []
        for number, item in enumerate(objects):
            self._label_ids[item.id + 1] = ids[item.label]
            groups.append({"id": number, "objectId": item.id, "segments": [number], "label": item.label})
        try:
            aggregation = {"sceneId": files.scene, "appId": "Aggregator.v2", "segGroups": groups}
            files.aggregation.write_text(json.dumps(aggregation, indent=1) + "\n", encoding="utf-8")
            files.label_table.write_text(_table(categories), encoding="utf-8")
            self._instances = zipfile.ZipFile(files.instances, "w")
            self._labels = zipfile.ZipFile(files.labels, "w")
        except OSError as error:
            raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}") from error

    def __enter__(self) -> "AnnotationWriter":
        return self

    def __exit__(self, *_):
        self._instances.close()
        self._labels.close()

    def add(self, frame: int, instances: np.ndarray):
        """Writes both images of a frame. instances: (H, W) uint8, objectId + 1, 0 where nothing is annotated."""
        _store(self._instances, f"instance-filt/{frame}.png", instances)
        _store(self._labels, f"label-filt/{frame}.png", self._label_ids[instances])


def _store(archive: zipfile.ZipFile, name: str, pixels: np.ndarray):
    archive.writestr(zipfile.ZipInfo(name, _DATE), cv2.imencode(".png", pixels)[1].tobytes())


def _table(categories: list[Category]) -> str:
    rows = [f"{row.id}\t{row.raw}\t{row.category}\t{row.count}" for row in categories]
    return "\n".join(["id\traw_category\tcategory\tcount", *rows]) + "\n"
