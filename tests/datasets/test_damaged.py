"""Whatever is wrong in an annotation file: an error of this package, naming a file, and never another one."""

import copy
import json
import random

import pytest

from lisa_ros.errors import LisaError
from training.data.sources import TRAINING

pytestmark = pytest.mark.unit

FILES = [
    ("ReasonSeg|train", "reason_seg/ReasonSeg/train/t1.json"),
    ("ReasonSeg|train|explanatory", "reason_seg/ReasonSeg/explanatory/train.json"),
    ("refcoco", "refer_seg/refcoco/instances.json"),
    ("refclef", "refer_seg/refclef/instances.json"),
    ("paco_lvis", "vlpart/paco/annotations/paco_lvis_v1_train.json"),
    ("pascal_part", "vlpart/pascal_part/train.json"),
    ("llava_instruct_150k", "llava_dataset/llava_instruct_150k.json"),
    ("mapillary", "mapillary/config_v2.0.json"),
]
VALUES = [None, -1, 0, 1e308, float("nan"), "", "x", [], {}, [[]], [None], True, 2**70, [[1, 2, 3, 4, 5, 6]], {"a": 1}]


def places(value, path=()):
    """Paths to everything inside of a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def damaged(content, rng):
    """A copy in which one thing is missing or something else."""
    content = copy.deepcopy(content)
    *way, last = rng.choice(list(places(content)))
    parent = content
    for key in way:
        parent = parent[key]
    if rng.random() < 0.3:
        del parent[last]
    else:
        parent[last] = rng.choice(VALUES)
    return content


def read_all(name, root):
    data = TRAINING[name](root)
    for index in range(len(data)):
        data.key(index)
        data.files(index)
        list(data[index].turns)


@pytest.mark.parametrize(("name", "path"), FILES)
def test_a_damaged_value_is_a_typed_error_or_none(copy_of_root, name, path):
    rng, file = random.Random(path), copy_of_root / path
    content, failed = json.loads(file.read_text()), 0
    for _ in range(25):
        file.write_text(json.dumps(damaged(content, rng)))
        try:
            read_all(name, copy_of_root)
        except LisaError as error:
            failed += 1
            assert str(copy_of_root) in str(error)
    assert failed
    file.write_text(json.dumps(content))
    read_all(name, copy_of_root)
