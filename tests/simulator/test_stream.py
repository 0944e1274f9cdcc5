"""The scene stream's thread: newest frame at any time, truth by motion time, a clean end."""

import time

import pytest

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator import SceneStream, generate_scene, scene_at

pytestmark = pytest.mark.unit


def test_static_stream_is_one_frame():
    stream = SceneStream(9, 60, 80)
    frame = stream.newest()
    assert frame.time == 0.0 and (frame.scene.image == generate_scene(9, 60, 80).image).all()
    assert stream.newest() is frame and stream.stop()


def test_moving_stream_follows_the_clock():
    stream = SceneStream(9, 60, 80, "objects", motion_rate=10.0)
    frames, end = [stream.newest()], time.monotonic() + 30.0
    while len(frames) < 4 and time.monotonic() < end:
        if stream.newest() is not frames[-1]:
            frames.append(stream.newest())
        time.sleep(0.005)
    assert stream.stop() and len(frames) == 4
    last = stream.newest()
    time.sleep(0.3)
    assert stream.newest() is last
    for frame in frames:
        truth = scene_at(9, frame.time, "objects", 60, 80)
        assert (truth.instances == frame.scene.instances).all() and (truth.image == frame.scene.image).all()
    assert [frame.time for frame in frames] == sorted(frame.time for frame in frames)


def test_bad_arguments():
    for arguments in ((1, 60, 80, "wobble"), (1, 60, 80, "camera", 0.0), (1, 4, 80)):
        with pytest.raises(ConfigurationError):
            SceneStream(*arguments)
