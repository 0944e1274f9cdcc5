"""The mixture read by several processes: the same items, whatever their number, and from any position on."""

import pickle

import numpy as np
import pytest
from torch.utils.data import DataLoader

from training.config.sections import DataConfig, DatasetGroupConfig
from training.data.sources import open_items

pytestmark = pytest.mark.unit

GROUPS = {
    "sem_seg": DatasetGroupConfig(9, ("ade20k", "cocostuff", "pascal_part", "paco_lvis", "mapillary")),
    "refer_seg": DatasetGroupConfig(3, ("refclef", "refcoco", "refcoco+", "refcocog")),
    "vqa": DatasetGroupConfig(3, ("llava_instruct_150k",)),
    "reason_seg": DatasetGroupConfig(1, ("ReasonSeg|train|explanatory",)),
    "tabletop": DatasetGroupConfig(1, ("tabletop",)),
}


def same(first, second):
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_array_equal(first.ignore, second.ignore)
    assert (first.conversations, first.source, first.key) == (second.conversations, second.source, second.key)
    return True


@pytest.fixture(scope="module")
def stream(root):
    """The miniature mixture, with the tabletop world."""
    return open_items(DataConfig(GROUPS, root), seed=7)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(stream, workers):
    numbers = range(5, 35)  # as after a stop before item 5
    loader = DataLoader(stream, batch_size=None, sampler=list(numbers), num_workers=workers)
    assert all(same(stream[number], item) for number, item in zip(numbers, loader, strict=True))


def test_a_process_that_is_started_afresh_gets_the_same_items(stream):
    copy = pickle.loads(pickle.dumps(stream))  # noqa: S301 - how a spawned worker gets it
    assert all(same(stream[number], copy[number]) for number in range(30))
