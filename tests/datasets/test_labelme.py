"""labelme's shapes: their pixels against the definition of each shape, and what cannot be drawn."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from lisa_ros.datasets import labelme
from lisa_ros.datasets.labelme import shape_mask
from lisa_ros.datasets.reasonseg import rasterise
from lisa_ros.errors import DatasetError

pytestmark = pytest.mark.unit

HEIGHT, WIDTH = 60, 80
ROWS, COLUMNS = np.indices((HEIGHT, WIDTH))


def shape(kind, points, **more):
    return {"label": "target", "shape_type": kind, "points": points} | more


def drawn(*arguments, **more):
    return shape_mask(shape(*arguments, **more), HEIGHT, WIDTH)


def png(mask, mode="L"):
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).convert(mode).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def pillow(draw_it):
    """As labelme draws: with Pillow, into an image of 8 bits."""
    canvas = Image.new("L", (WIDTH, HEIGHT))
    draw_it(ImageDraw.Draw(canvas))
    return np.array(canvas) > 0


@given(st.integers(0, 79), st.integers(0, 59), st.integers(0, 79), st.integers(0, 59))
@settings(max_examples=40)
def test_a_rectangle_is_all_between_its_corners(x0, y0, x1, y1):
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[min(y0, y1) : max(y0, y1) + 1, min(x0, x1) : max(x0, x1) + 1] = True
    np.testing.assert_array_equal(drawn("rectangle", [[x0, y0], [x1, y1]]), inside)
    np.testing.assert_array_equal(drawn("rectangle", [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]), inside)


def test_a_rectangle_of_41_by_31_pixels():
    assert drawn("rectangle", [[10, 20], [50, 50]]).sum() == 41 * 31


@given(st.floats(-10, 90), st.floats(-10, 70), st.floats(-10, 90), st.floats(-10, 70))
@settings(max_examples=60)
def test_a_circle_is_all_within_its_radius(x, y, rim_x, rim_y):
    radius, distance = np.hypot(rim_x - x, rim_y - y), np.hypot(COLUMNS - x, ROWS - y)
    found = drawn("circle", [[x, y], [rim_x, rim_y]])
    # Pillow moves each side of a circle's square by up to a pixel; a test below holds the pixels to be labelme's.
    assert found[distance <= radius - 1.5].all() and not found[distance > radius + 2.0].any()


def test_circles_lines_and_points_are_those_of_labelme():
    for kind, points, truth in (
        ("circle", [[40, 30], [40, 12]], lambda draw: draw.ellipse([22, 12, 58, 48], outline=1, fill=1)),
        ("line", [[5, 5], [70, 40]], lambda draw: draw.line([(5, 5), (70, 40)], fill=1, width=10)),
        ("point", [[20, 30]], lambda draw: draw.ellipse([15, 25, 25, 35], outline=1, fill=1)),
        ("linestrip", [[5, 5], [70, 5], [70, 50]],
         lambda draw: draw.line([(5, 5), (70, 5), (70, 50)], fill=1, width=10, joint="curve")),
        ("points", [[20, 30], [60, 30]], lambda draw: [draw.ellipse([x - 5, 25, x + 5, 35], fill=1) for x in (20, 60)]),
    ):  # fmt: skip
        np.testing.assert_array_equal(drawn(kind, points), pillow(truth), kind)


@given(st.floats(0, 79), st.floats(0, 59), st.floats(0, 79), st.floats(0, 59))
@settings(max_examples=40)
def test_a_line_is_a_band_around_it(x0, y0, x1, y1):
    length = np.hypot(x1 - x0, y1 - y0)
    if length < 1:
        return
    along = ((COLUMNS - x0) * (x1 - x0) + (ROWS - y0) * (y1 - y0)) / length
    across = np.abs((COLUMNS - x0) * (y1 - y0) - (ROWS - y0) * (x1 - x0)) / length
    found = drawn("line", [[x0, y0], [x1, y1]])
    assert found[(across < 3) & (along > 3) & (along < length - 3)].all()
    assert not found[(across > 7) | (along < -4) | (along > length + 4)].any()


def test_turned_boxes_are_polygons():
    corners = [[40, 10], [60, 30], [40, 50], [20, 30]]
    for kind in ("oriented_rectangle", "rotation", "polygon", None):
        np.testing.assert_array_equal(drawn(kind, corners), np.abs(COLUMNS - 40) + np.abs(ROWS - 30) <= 20)


@pytest.mark.parametrize("mode", ["L", "1", "P"])
@pytest.mark.parametrize("place", [(5, 7), (-4, -3), (70, 50), (200, 200), (-50, 0)])
def test_a_mask_lies_where_its_corners_say(mode, place):
    part = np.random.default_rng(3).random((20, 30)) < 0.5
    (x, y), truth = place, np.zeros((400, 400), bool)
    truth[100 + y : 120 + y, 100 + x : 130 + x] = part
    found = drawn("mask", [[x, y], [x + 29, y + 19]], mask=png(part, mode))
    np.testing.assert_array_equal(found, truth[100 : 100 + HEIGHT, 100 : 100 + WIDTH])


@pytest.mark.parametrize(
    ("kind", "points", "more", "reason"),
    [
        ("circle", [[1, 1]], {}, "a circle has 1 points; it must have 2"),
        ("rectangle", [[1, 1], [2, 2], [3, 3]], {}, "a rectangle has 3 points; it must have 4"),
        ("line", [[1, 1], [2, 2], [3, 3]], {}, "a line has 3 points"),
        ("point", [[1, 1], [2, 2]], {}, "a point has 2 points; it must have 1"),
        ("cuboid", [[1, 1], [2, 2]], {}, "type 'cuboid' cannot be drawn; save it as a polygon or a mask"),
        ("Polygon", [[1, 1], [2, 2], [3, 1]], {}, "type 'Polygon' cannot be drawn"),
        ("mask", [[1, 1], [5, 5]], {}, "needs its PNG in base64, not 'None'"),
        ("mask", [[1, 1], [5, 5]], {"mask": "§§"}, "is no PNG in base64"),
        ("mask", [[1, 1], [5, 5]], {"mask": "aGVsbG8="}, "is no PNG in base64"),
        ("mask", [[1, 1], [6, 5]], {"mask": png(np.ones((5, 5)))}, r"5x5 pixels between the corners \[1, 1\]"),
        ("mask", [[1, 1], [5, 5]], {"mask": png(np.ones((5, 5)), "RGB")}, "3 channels; it must have one"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_named(kind, points, more, reason):
    with pytest.raises(DatasetError, match=reason):
        drawn(kind, points, **more)


def test_shapes_without_an_area_are_told_once(caplog, monkeypatch):
    monkeypatch.setattr(labelme, "_warned", set())
    for _ in range(2):
        drawn("line", [[1, 1], [50, 50]])
        drawn("point", [[20, 20]])
        drawn("rectangle", [[1, 1], [5, 5]])
    assert [record.getMessage().split(" have")[0] for record in caplog.records] == [
        "shapes of the type line", "shapes of the type point",
    ]  # fmt: skip


@pytest.mark.parametrize("points", [[[10, 10], [50, 40]], [[10, 10]]])
def test_a_polygon_that_has_no_area_is_told(caplog, monkeypatch, points):
    """As a box whose type was lost."""
    monkeypatch.setattr(labelme, "_warned", set())
    assert 1 <= drawn("polygon", points).sum() <= 41
    assert "polygons of one or two points have no area" in caplog.text


def test_shapes_of_several_types_lie_on_one_another_by_their_size():
    shapes = [
        shape("circle", [[40, 30], [45, 30]]) | {"label": "ignore"},
        shape("rectangle", [[20, 10], [60, 50]]),
        shape("mask", [[20, 10], [22, 11]], mask=png(np.ones((2, 3)))) | {"label": "Ignored"},
        shape("rectangle", [[0, 0], [79, 59]]) | {"label": "flag"},
    ]
    labels = rasterise(shapes, HEIGHT, WIDTH)
    assert not rasterise([shape("rectangle", [[0, 0], [9, 9]]) | {"label": " Flag\n"}], HEIGHT, WIDTH).any()
    disc = np.hypot(COLUMNS - 40, ROWS - 30) <= 5
    assert (labels[disc] == 255).all() and (labels[10:12, 20:23] == 255).all() and (labels == 255).sum() < 120
    assert (labels == 1).sum() == 41 * 41 - (labels == 255).sum() and labels[0, 0] == 0
