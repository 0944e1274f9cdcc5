"""Whether label images number their classes as they should: by another numbering every class would be its neighbour.

A single picture rarely tells; what a set of them never shows does.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from lisa_ros.datasets.class_names import ADE20K, COCO_STUFF, COCO_STUFF_UNUSED
from lisa_ros.errors import DatasetError

_LOOKED_AT = 64  # label images, evenly spread over the set
_UNLABELLED = 255
_OTHER = len(COCO_STUFF) + 1  # id of all things together in COCO's maps of stuff alone, the 183rd
_log = logging.getLogger(__name__)

Pairs = Sequence[tuple[Path, Path]]


def check_coco_stuff(pairs: Pairs, read: Callable[[Path], np.ndarray]) -> None:
    """Raises DatasetError for maps of ids, from 1 on with 0 for unlabelled, in the place of stuffthingmaps.

    Where no map says which of both it is, a warning does. pairs: picture and label image. read: gives (H, W) labels.
    """
    shown = _values(pairs, read)
    ids_of_unused = {value + 1 for value in COCO_STUFF_UNUSED}
    only_ids = (COCO_STUFF_UNUSED - ids_of_unused) | {len(COCO_STUFF), _OTHER}
    only_labels = (ids_of_unused - COCO_STUFF_UNUSED) | {_UNLABELLED}
    folder = pairs[0][1].parent
    expected = f"label values from 0 on and {_UNLABELLED} for unlabelled pixels (stuffthingmaps_trainval2017)"
    if shown & only_ids and not shown & only_labels:
        raise DatasetError(
            f"{folder} has the values {sorted(shown & only_ids)}: its maps hold ids, from 1 on and 0 for unlabelled "
            f"pixels, as COCO's stuff_*_pixelmaps do; what is read here are {expected}"
        )
    if not shown & (only_ids | only_labels):
        _log.warning("%s does not show by its values whether they count from 0 or from 1; they are read as %s",
                     folder, expected)  # fmt: skip


def check_ade20k(pairs: Pairs, read: Callable[[Path], np.ndarray]) -> None:
    """Raises DatasetError for maps whose labels were reduced by one, so that 0 is a wall and 255 is unlabelled."""
    shown = _values(pairs, read)
    if _UNLABELLED in shown and len(ADE20K) not in shown:
        raise DatasetError(
            f"{pairs[0][1].parent} has the value {_UNLABELLED} and no {len(ADE20K)}: its maps were reduced by one, as "
            "some programs prepare them; what is read here are the published ones (0 for unlabelled, 1 for wall)"
        )


def _values(pairs: Pairs, read: Callable[[Path], np.ndarray]) -> set[int]:
    """What some of the label images show; one that cannot be read is told when it is asked for."""
    shown: set[int] = set()
    for number in np.linspace(0, len(pairs) - 1, min(len(pairs), _LOOKED_AT)).astype(int):
        with suppress(DatasetError):
            shown |= set(np.unique(read(pairs[number][1])).tolist())
    return shown
