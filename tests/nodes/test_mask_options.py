"""`mask.min_component_share` of a real node: off it changes nothing, set it drops specks and fills holes at once."""

import math

import pytest
from node_harness import picture

pytestmark = pytest.mark.ros
RED = (220, 30, 30)


def test_specks_and_holes_go_when_the_parameter_is_set_and_not_before(robot):
    image = picture()
    image[50:52, 60:62] = 90  # a hole of 4 pixels in the red square of 40x40
    image[100:103, 10:13] = RED  # a speck of 9
    drawn = robot.ask_about(robot.show(image), "red as it is drawn").targets[0]
    assert (drawn.area, drawn.components) == (1600 - 4 + 9, 2)
    assert math.isnan(drawn.quality) and math.isnan(drawn.stability)  # this engine has no logits
    assert robot.set(mask__min_component_share=0.05)[0][0]
    repaired = robot.ask_about(robot.show(image), "red without specks").targets[0]
    assert (repaired.area, repaired.components) == (1600, 1)
    assert not robot.set(mask__min_component_share=1.5)[0][0]
    assert robot.set(mask__min_component_share=0.0)[0][0]
    assert robot.ask_about(robot.show(image), "red once more").targets[0].area == drawn.area
