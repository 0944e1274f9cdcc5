import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import RegionOfInterest

from lisa_ros.errors import InvalidRegionError
from lisa_ros.nodes.perception.inference.inference_session import nothing_found
from lisa_ros.nodes.perception.queries.region import Region
from lisa_ros.types import ABSENT, SEGMENTED, SegmentationResult, Target

pytestmark = pytest.mark.unit


@given(st.integers(0, 20), st.integers(0, 15), st.integers(1, 20), st.integers(1, 15))
def test_a_cropped_mask_comes_back_where_it_was(x, y, width, height):
    region = Region(x, y, width, height)
    mask = np.random.default_rng(x + 40 * y).random((15, 20)) < 0.5
    if x + width > 20 or y + height > 15:
        with pytest.raises(InvalidRegionError, match="20x15"):
            region.crop(mask)
        return
    cropped = region.crop(mask)
    logits = np.where(cropped, 2.0, -2.0).astype(np.float32)
    target = Target("mug", SEGMENTED, cropped, logits, 0.9)
    result = region.enlarge(SegmentationResult("?", "a mug", (target,)), mask.shape)
    inside = np.zeros_like(mask)
    inside[y : y + height, x : x + width] = True
    np.testing.assert_array_equal(result.targets[0].mask, mask & inside)
    np.testing.assert_array_equal(result.targets[0].logits > 0, mask & inside)
    assert (result.answer, result.targets[0].phrase, result.targets[0].mean_probability) == ("a mug", "mug", 0.9)


def test_an_absent_target_stays_absent():
    absent = Target("fox", ABSENT, np.zeros((2, 3), bool))
    result = Region(1, 1, 3, 2).enlarge(SegmentationResult("?", "", (absent,)), (10, 12))
    assert result.targets[0].mask.shape == (10, 12) and not result.targets[0].mask.any()
    assert result.targets[0].logits is None and result.targets[0].kind == ABSENT


def test_what_belongs_to_a_target_comes_back_with_it():
    """The coarse mask of a two-step answer, and what an answer offers in the place of an absent thing."""
    mask, logits = np.ones((2, 3), bool), np.ones((2, 3), np.float32)
    offered = Target("phone", SEGMENTED, mask, logits, coarse=logits)
    absent = Target("laptop", ABSENT, ~mask, correction="the phone", alternative=offered)
    (target,) = Region(1, 4, 3, 2).enlarge(SegmentationResult("?", "", (absent,)), (10, 12)).targets
    alternative = target.alternative
    assert target.correction == "the phone" and target.mask.shape == alternative.mask.shape == (10, 12)
    assert alternative.mask[4:6, 1:4].all() and alternative.mask.sum() == 6
    assert (alternative.coarse[4:6, 1:4] == 1).all() and np.isneginf(alternative.coarse).sum() == 120 - 6


def test_what_is_absent_is_named_with_what_is_offered():
    empty = np.zeros((2, 3), bool)
    laptop, fork = Target("laptop", ABSENT, empty, correction="the phone"), Target("fork", ABSENT, empty)
    result = SegmentationResult("?", "", (laptop, Target("cup", SEGMENTED, empty), fork))
    assert nothing_found(result) == "not in the image: laptop (perhaps the phone), fork; the mask is empty: cup"
    assert nothing_found(SegmentationResult("?", "", ())) == "the model segmented nothing for this query"


def test_a_picture_is_cropped_with_its_channels():
    image = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    crop = Region(2, 1, 3, 2).crop(image)
    np.testing.assert_array_equal(crop, image[1:3, 2:5])
    assert crop.flags.c_contiguous


def test_zeros_are_the_whole_image_and_no_pixels_are_refused():
    assert Region.from_message(RegionOfInterest()) is None
    message = RegionOfInterest(x_offset=3, y_offset=4, width=5, height=6)
    assert Region.from_message(message) == Region(3, 4, 5, 6)
    for bad in (RegionOfInterest(x_offset=3), RegionOfInterest(width=5), RegionOfInterest(do_rectify=True)):
        with pytest.raises(InvalidRegionError):
            Region.from_message(bad)
