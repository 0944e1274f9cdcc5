"""The F measure of edges: what a shift of a mask costs, and masks without an edge."""

import numpy as np
import pytest

from lisa_ros.evaluation.boundaries import boundary_f

pytestmark = pytest.mark.unit


def _square(left, size=20):
    mask = np.zeros((60, 80), bool)
    mask[20 : 20 + size, left : left + size] = True
    return mask


def test_edges_within_the_tolerance_are_found():
    assert boundary_f(_square(20), _square(20)) == 1
    assert boundary_f(_square(22), _square(20)) == 1
    assert boundary_f(_square(23), _square(20)) < 1
    assert boundary_f(_square(30), _square(20)) < boundary_f(_square(23), _square(20))
    assert boundary_f(_square(20), _square(55)) == 0
    assert boundary_f(_square(30), _square(20)) == pytest.approx(boundary_f(_square(20), _square(30)))


def test_a_hole_costs_precision_only():
    holed = _square(20)
    holed[26:34, 26:34] = False
    expected_precision = 76 / (76 + 36)  # edge pixels outside, and those around the hole
    found = boundary_f(holed, _square(20))
    assert found == pytest.approx(2 * expected_precision / (expected_precision + 1), abs=0.03)


def test_empty_masks_and_the_border():
    empty = np.zeros((60, 80), bool)
    assert boundary_f(empty, empty) == 1 and boundary_f(empty, _square(20)) == 0 == boundary_f(_square(20), empty)
    assert boundary_f(np.ones((60, 80), bool), np.ones((60, 80), bool)) == 1
    with pytest.raises(ValueError, match="prediction has"):
        boundary_f(empty, np.zeros((3, 3), bool))
