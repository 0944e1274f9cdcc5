import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.errors import NoTransformError
from lisa_ros.geometry.poses import pose_matrix, quaternion_of

pytestmark = pytest.mark.unit
PARTS = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(PARTS, st.floats(0.5, 2))
def test_rotation_of_a_quaternion_does_not_depend_on_its_length(quaternion, scale):
    """As in tf2, which takes lengths that are a little off and turns by the angle that is meant."""
    pose = pose_matrix((1, 2, 3, *quaternion))
    rotation = pose[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_array_equal(pose[:, 3], [1, 2, 3, 1])
    np.testing.assert_allclose(pose_matrix((1, 2, 3, *(scale * q for q in quaternion))), pose, atol=1e-12)
    unit = np.array(quaternion) / np.linalg.norm(quaternion)
    assert abs(unit @ quaternion_of(rotation)) == pytest.approx(1)


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (float("nan"), 0, 0, 1), (float("inf"), 0, 0, 1)])
def test_quaternion_without_a_direction_is_no_pose(quaternion):
    """One that nobody filled in would pass for "not turned"."""
    with pytest.raises(NoTransformError, match="its length must be 1"):
        pose_matrix((0, 0, 0, *quaternion))
