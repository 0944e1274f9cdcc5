from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.errors import InvalidImageError
from lisa_ros.nodes.common.stamps import SECOND, stamp_of
from lisa_ros.nodes.perception.frames.frame_buffer import FrameBuffer

pytestmark = pytest.mark.unit
TOLERANCE = SECOND // 50
FRAME = SECOND // 30


def message(name, frame_id="camera"):
    return SimpleNamespace(name=name, header=SimpleNamespace(frame_id=frame_id))


def buffer_of(**streams):
    """A buffer with messages named by their stamps."""
    buffer = FrameBuffer(10, lambda: TOLERANCE)
    for stream, stamps in streams.items():
        for stamp in stamps:
            buffer.add(stream, stamp, message(stamp), stamp)
    return buffer


def test_depth_and_intrinsics_are_those_of_the_images_moment():
    moments = [SECOND + n * FRAME for n in range(5)]
    late = [moment + TOLERANCE // 2 for moment in moments]
    frame = buffer_of(image=moments, depth=late, info=moments).at(moments[2])
    assert (frame.image.name, frame.depth.name, frame.info.name) == (moments[2], late[2], moments[2])


def test_a_depth_out_of_tolerance_is_no_depth():
    frame = buffer_of(image=[SECOND], depth=[SECOND + TOLERANCE + 1]).newest()
    assert frame.image.name == SECOND and frame.depth is None


def test_the_newest_image_may_wait_for_its_depth():
    moments = [SECOND + n * FRAME for n in range(5)]
    buffer = buffer_of(image=moments, depth=moments[:-1], info=moments[:-1])
    assert buffer.newest().stamp == moments[-2]
    buffer.add("depth", moments[-1], message(moments[-1]), moments[-1])
    buffer.add("info", moments[-1], message(moments[-1]), moments[-1])
    assert buffer.newest().stamp == moments[-1]


def test_a_camera_without_depth_gives_its_newest_image():
    assert buffer_of(image=[SECOND, 2 * SECOND]).newest().stamp == 2 * SECOND


def test_depth_that_ended_long_ago_does_not_hold_the_images_back():
    moments = [SECOND + n * FRAME for n in range(10)]
    assert buffer_of(depth=moments[:1], info=moments, image=moments).newest().stamp == moments[-1]


def test_intrinsics_of_another_rate_are_used_and_those_of_another_camera_come_last():
    buffer = buffer_of(info=[SECOND], image=[3 * SECOND])
    assert buffer.newest().info.name == SECOND
    buffer.add("image", 4 * SECOND, message("other", "other_camera"), 0)
    assert buffer.last.info.header.frame_id == "camera"  # its user refuses it, with both names
    for frame_id in ("", "other_camera"):
        buffer.add("info", SECOND + 1 + len(frame_id), message("info", frame_id), 0)
        assert buffer.last.info.header.frame_id == frame_id


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(0, 40))
def test_a_stamp_finds_the_nearest_buffered_image(order, wanted):
    step = TOLERANCE // 2
    buffer = FrameBuffer(10, lambda: TOLERANCE)
    for stamp in order:
        buffer.add("image", SECOND + stamp * step, message(stamp), 0)
    kept = sorted(set(order))[-10:]  # never a restart: all stamps lie within a second
    found = buffer.at(SECOND + wanted * step)
    nearest = min(abs(stamp - wanted) for stamp in kept)
    if nearest > 2:
        assert found is None
    else:
        assert abs(found.image.name - wanted) == nearest


def test_only_the_newest_images_are_kept():
    buffer = buffer_of(image=[n * FRAME for n in range(1, 100)])
    assert buffer.range == (90 * FRAME, 99 * FRAME)
    assert buffer.at(5 * FRAME) is None and buffer.at(95 * FRAME).image.name == 95 * FRAME


def test_reordering_is_sorted_out_and_a_restart_empties_the_buffer():
    buffer = buffer_of(image=[10 * SECOND, 10 * SECOND + 2 * FRAME])
    assert not buffer.add("image", 10 * SECOND + FRAME, message("late"), 0)
    assert buffer.newest_stamp == 10 * SECOND + 2 * FRAME
    assert buffer.add("image", 3 * SECOND, message("again"), 0)
    assert buffer.range == (3 * SECOND, 3 * SECOND)
    assert buffer.counts["image"].restarts == 1


def test_a_stream_without_gaps_misses_nothing_and_a_gap_is_counted_in_frames():
    buffer = buffer_of(image=[SECOND + n * FRAME + (n % 3) * 1_000_000 for n in range(40)])
    assert buffer.counts["image"].missed == 0 and buffer.counts["image"].received == 40
    for n in range(44, 48):
        buffer.add("image", SECOND + n * FRAME, message("after a gap"), 0)
    assert buffer.counts["image"].missed == 4


def test_a_slower_camera_is_no_endless_row_of_gaps():
    buffer = buffer_of(image=[SECOND + n * FRAME for n in range(20)])
    for n in range(40):
        buffer.add("image", 3 * SECOND + n * SECOND // 5, message(n), 0)
    before = buffer.counts["image"].missed
    for n in range(40, 60):
        buffer.add("image", 3 * SECOND + n * SECOND // 5, message(n), 0)
    assert buffer.counts["image"].missed == before


def test_images_without_depth_are_counted_while_depth_goes_on():
    buffer = FrameBuffer(30, lambda: TOLERANCE)
    for n in range(20):
        stamp = SECOND + n * 2 * TOLERANCE
        if n != 7:
            buffer.add("depth", stamp, message(n), 0)
        buffer.add("image", stamp, message(n), 0)
    assert buffer.counts["image"].unpaired == 1


def test_the_rate_is_that_of_arrival():
    buffer = FrameBuffer(30, lambda: TOLERANCE)
    assert buffer.rate == 0
    for n in range(20):
        buffer.add("image", SECOND, message(n), n * SECOND // 10)
    assert buffer.rate == pytest.approx(10)


def test_a_stamp_of_zero_is_none_and_an_impossible_one_an_error():
    def stamped(sec, nanosec):
        stamp = SimpleNamespace(sec=sec, nanosec=nanosec)
        return SimpleNamespace(header=SimpleNamespace(stamp=stamp))

    assert stamp_of(stamped(2, 5), 99) == (2 * SECOND + 5, True)
    assert stamp_of(stamped(0, 0), 99) == (99, False)
    for sec, nanosec in ((-1, 0), (0, SECOND)):
        with pytest.raises(InvalidImageError):
            stamp_of(stamped(sec, nanosec), 99)
