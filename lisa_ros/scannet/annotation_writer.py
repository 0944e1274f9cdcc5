"""Writes annotations in ScanNet's formats, next to a `.sens` file: of recordings of the simulator, and for tests."""

import json
import zipfile
from collections.abc import Iterable

import cv2
import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.scannet.annotations import AnnotatedObject, Category
from lisa_ros.scannet.scene import SceneFiles

_DATE = (2020, 1, 1, 0, 0, 0)  # the same recording gives the same bytes


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
