"""What a score is worth: answers that need no understanding, an oracle of class names, and another system."""

import re
from collections.abc import Iterable

import numpy as np

from lisa_ros.evaluation.scans.offline import Baseline
from lisa_ros.evaluation.scans.scan import Case, Scan
from lisa_ros.scannet.truth import resize_nearest
from lisa_ros.simulator.nouns import plural

_CENTRE = 0.5  # sides of the centre box, as shares of the image's


def whole_image(case: Case, image: np.ndarray) -> np.ndarray:
    """Everything."""
    return np.ones(image.shape[:2], bool)


def centre_box(case: Case, image: np.ndarray) -> np.ndarray:
    """The middle of the image, half as wide and half as high."""
    mask = np.zeros(image.shape[:2], bool)
    top, left = (round(side * (1 - _CENTRE) / 2) for side in mask.shape)
    mask[top : mask.shape[0] - top, left : mask.shape[1] - left] = True
    return mask


class ClassNameOracle:
    """The true masks of all objects whose category the words name: perfect eyes, no understanding beyond nouns."""

    def __init__(self, scan: Scan):
        self._scan = scan
        self._members: dict[str, list[int]] = {}
        for item in scan.annotation.objects.values():
            row = scan.annotation.categories[item.label]
            self._members.setdefault(row.category or row.raw, []).append(item.id)

    def __call__(self, case: Case, image: np.ndarray) -> np.ndarray | None:
        """(H, W) bool; None where no category of the scan is named."""
        named = named_categories(case.query.text, self._members)
        ids = [number + 1 for name in named for number in self._members[name]]
        if not ids:
            return None
        return np.isin(resize_nearest(self._scan.annotation.instances(case.frame), self._scan.color_size), ids)


def named_categories(text: str, categories: Iterable[str]) -> list[str]:
    """The categories whose name stands in the words, in the singular or the plural."""
    words = text.lower()

    def is_named(name: str) -> bool:
        return any(re.search(rf"\b{re.escape(form)}\b", words) for form in (name.lower(), plural(name.lower())))

    return [name for name in categories if is_named(name)]


def baselines(scan: Scan) -> dict[str, Baseline]:
    """Name -> baseline, of those that need no weights."""
    return {"whole image": whole_image, "centre box": centre_box, "class-name oracle": ClassNameOracle(scan)}
