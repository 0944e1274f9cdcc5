import dataclasses

import pytest

from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry import CloudOptions, MaskOptions
from lisa_ros.nodes.perception.parameters import PerceptionParameters, parameter_definitions

pytestmark = pytest.mark.unit


def test_the_declared_settings_are_those_of_the_three_classes():
    names = {definition.name for definition in parameter_definitions()}
    cloud = {f"cloud.{field.name}" for field in dataclasses.fields(CloudOptions)}
    mask = {f"mask.{field.name}" for field in dataclasses.fields(MaskOptions)}
    own = {field.name for field in dataclasses.fields(PerceptionParameters)} - {"cloud", "mask"}
    assert names == own | cloud | mask
    defaults = {definition.name: definition.default for definition in parameter_definitions()}
    assert PerceptionParameters.from_values(defaults) == PerceptionParameters()
    assert all(definition.about for definition in parameter_definitions())


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"precision": "fp8"}, "fp8"),
        ({"mode": ""}, "mode"),
        ({"threads": 1000}, "threads=1000 must lie between 0 and 256"),
        ({"model": ""}, "model"),
        ({"proposal_options": "limit"}, "proposal_options: 'limit' must be NAME=VALUE"),
        ({"queue_size": -1}, "queue_size=-1"),
        ({"image_timeout": float("nan")}, "nan"),
        ({"sync_tolerance": 2.0}, "between 0.0 and 1.0"),
        ({"camera_pose": [1.0, 2.0]}, "seven"),
        ({"camera_pose": [0, 0, 0, 0, 0, 0, 0.5]}, "length 0.5"),
        ({"camera_pose": "x"}, "array"),
        ({"camera_pose": ["a"] * 7}, "seven finite numbers"),
        ({"up": [0.0, 1.0]}, "three finite numbers"),
        ({"up": [0.0, 0.0, 0.0]}, "no direction"),
        ({"up": [0.0, float("nan"), 1.0]}, "three finite numbers"),
        ({"up": 1.0}, "array"),
        ({"standing_query": "x" * 2001}, "2001"),
        ({"cloud.voxel_size": 5.0}, "voxel_size=5.0"),
        ({"cloud.min_range": 20.0}, "max_range"),
    ],
)
def test_values_out_of_their_limits_are_refused_by_name(values, named):
    with pytest.raises(ConfigurationError, match=named):
        PerceptionParameters.from_values(values)


def test_a_pose_of_whole_numbers_is_a_pose():
    assert PerceptionParameters.from_values({"camera_pose": [0, 0, 1, 0, 0, 0, 1]}).camera_pose == (0, 0, 1, 0, 0, 0, 1)
