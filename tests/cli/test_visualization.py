from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.types import ABSENT, SEGMENTED, SegmentationResult, Target
from lisa_ros.visualization import annotated_picture, draw_overlay, load_font, wrap

pytestmark = pytest.mark.unit


def image(height=192, width=256):
    return np.full((height, width, 3), 90, np.uint8)


def square(height=192, width=256, phrase="red mug"):
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return Target(phrase, SEGMENTED, mask)


@pytest.mark.parametrize("size", [(192, 256), (480, 640), (1080, 1920), (48, 64), (16, 16)])
def test_overlay_keeps_the_size_and_tints_the_mask(size):
    picture, target = image(*size), square(*size)
    before = picture.copy()
    overlay = draw_overlay(picture, SegmentationResult("the mug", "It is the red mug.", (target,)))
    assert overlay.shape == picture.shape and overlay.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)
    assert (overlay[target.mask] != 90).any(axis=1).mean() > 0.9
    if size[0] > 100:
        beside = overlay[size[0] // 3, : size[1] // 5]
        assert (beside == 90).all()


def test_targets_have_colours_of_their_own():
    left, right = np.zeros((192, 256), bool), np.zeros((192, 256), bool)
    left[60:100, 20:80] = right[60:100, 160:220] = True
    targets = Target("", SEGMENTED, left), Target("", SEGMENTED, right)
    overlay = draw_overlay(image(), SegmentationResult("", "", targets))
    first, second = overlay[80, 50].astype(int), overlay[80, 190].astype(int)
    assert np.abs(first - second).max() > 60


def test_a_coarse_mask_is_a_dashed_outline():
    coarse = np.full((192, 256), -4.0, np.float32)
    coarse[30:150, 40:220] = 4.0
    plain, shown = (
        SegmentationResult("", "", (one,)) for one in (square(phrase=""), replace(square(phrase=""), coarse=coarse))
    )
    changed = (draw_overlay(image(), plain) != draw_overlay(image(), shown)).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.min() - 30) <= 3 and abs(rows.max() - 150) <= 3
    assert abs(columns.min() - 40) <= 3 and abs(columns.max() - 220) <= 3
    assert 0.2 < changed[28:33, 60:200].any(axis=0).mean() < 1.0, "gaps between the dashes"
    sheet = annotated_picture(image(), shown, panel_width=256)
    assert (sheet != annotated_picture(image(), plain, panel_width=256)).any()


def test_absent_and_nothing_are_said_in_the_picture():
    absent = Target("dragon", ABSENT, np.zeros((192, 256), bool))
    answered = draw_overlay(image(), SegmentationResult("", "No dragon.", (square(),)))
    with_absent = draw_overlay(image(), SegmentationResult("", "No dragon.", (square(), absent)))
    nothing = draw_overlay(image(), SegmentationResult("", "No dragon.", ()))
    assert (answered != with_absent).any() and (answered != nothing).any()
    # the status line is written in its own, warm colour
    warm = (with_absent[150:, :, 0].astype(int) - with_absent[150:, :, 2]) > 80
    assert warm.any() and not ((answered[150:, :, 0].astype(int) - answered[150:, :, 2]) > 80).any()


@settings(max_examples=30)
@given(st.text(max_size=300), st.text(max_size=60))
def test_any_text_can_be_drawn(answer, phrase):
    overlay = draw_overlay(image(96, 128), SegmentationResult(phrase, answer, (square(96, 128, phrase),)))
    assert overlay.shape == (96, 128, 3)


@settings(max_examples=50)
@given(st.text(alphabet="ab é日\n\t", max_size=120), st.integers(30, 200))
def test_wrapping_loses_no_letter_and_fits(text, width):
    font = load_font(12)
    lines = wrap(text, font, width)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(font.getlength(line) <= width for line in lines)


def test_sheet_has_image_and_overlay_side_by_side():
    target = square()
    result = SegmentationResult("Where is the mug?", "It is the red mug.", (target,))
    sheet = annotated_picture(image(), result, truth=target.mask, iou=0.91, note="category")
    bare = annotated_picture(image(), SegmentationResult("Where is the mug?", "", ()))
    assert sheet.ndim == 3 and sheet.dtype == np.uint8
    assert sheet.shape[1] == bare.shape[1] >= 2 * 512
    middle = 20 + 32 + 12 + 384 * 3 // 8
    assert tuple(sheet[middle, 20 + 512 * 3 // 8]) == (90, 90, 90)  # the left panel is the image as it came
    assert tuple(sheet[middle, 20 + 512 + 12 + 512 * 3 // 8]) != (90, 90, 90)
