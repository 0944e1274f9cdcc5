"""False premises as data sets of their own: classes that a picture does not show, and those of sets that have both."""

import numpy as np
import pytest

from lisa_ros.datasets.false_premises import AbsentClasses, FalsePremises
from lisa_ros.datasets.semantic import coco_stuff
from lisa_ros.types import FALSE_PREMISE, Sample, TruthTarget, Turn
from training.data.sources import TRAINING

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", ["ade20k", "cocostuff", "mapillary", "pascal_part"])
def test_absent_classes_of_every_set(root, name):
    data, plain = TRAINING[f"{name}|absent"](root), TRAINING[name](root)
    assert (
        len(data) == len(plain)
        and any(len(sample.turns) for sample in plain)
        and data.source == f"{plain.source}/absent"
    )
    for index in range(len(data)):
        assert data.key(index) == plain.key(index) and data.files(index) == plain.files(index)
        sample, shown = data[index], {turn.question: turn.targets[0].mask for turn in plain[index].turns}
        np.testing.assert_array_equal(sample.image, plain[index].image)
        turns = list(sample.turns)
        assert {turn.question for turn in turns} == set(data.names) - shown.keys()
        assert len({turn.question for turn in turns}) == len(turns)
        for number, turn in enumerate(turns):
            (target,) = turn.targets
            assert target.mask is None and turn.kind == FALSE_PREMISE and not turn.answer
            assert (target.alternative is not None) == bool(number % 2)
            if target.alternative:
                assert target.alternative.phrase in shown and target.alternative.mask.any()


def test_a_picture_that_shows_nothing_has_no_questions(root):
    data = coco_stuff(root)

    class Empty:
        source, files, key = "empty", data.files, data.key

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return Sample(data[0].image, (), "empty")

    assert len(AbsentClasses(Empty(), ["cat", "dog"])[0].turns) == 0


def test_false_premises_alone():
    there = Turn("a cup", (TruthTarget("a cup", np.ones((2, 2), bool)),), "[SEG].", "phrase")
    wrong = Turn("a cat", (TruthTarget("a cat", None),), "No cat.", FALSE_PREMISE)

    class Both:
        source = "both"

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return Sample(np.zeros((2, 2, 3), np.uint8), (there, wrong)[: 2 - index], "both")

        def key(self, index):
            return str(index)

        def files(self, index):
            return ()

    data = FalsePremises(Both())
    assert (len(data), data.key(1), data.files(0), data.source) == (2, "1", (), "both/false_premises")
    assert data[0].turns == (wrong,) and data[1].turns == ()
