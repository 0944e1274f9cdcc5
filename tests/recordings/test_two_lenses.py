"""Depth of another lens in a bag: refused, registered or trusted, when it is read and when it is played."""

import numpy as np
import pytest
from bag_streams import DEPTH, IMAGE, INFO, Loose
from two_lenses import BASELINE, COLOR, DEPTH_INFO, LENS, WALL, off_the_ball, seen_by, write_two_lenses

from lisa_ros.cli import main
from lisa_ros.errors import ConfigurationError, InvalidImageError
from lisa_ros.geometry import CameraModel
from lisa_ros.geometry.clouds import target_cloud
from lisa_ros.recordings import messages
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.played_messages import PlayedMessages
from lisa_ros.sensor_messages.image_messages import camera_model, to_depth

pytestmark = pytest.mark.unit


def read(path, rule):
    with RgbdBag(path, depth_registration=rule) as bag:
        return list(bag.frames())


def is_true(depth):
    """Whether (h, w) m is the world as the colour camera would measure it, but for the ball's rim."""
    view = COLOR.scaled(*depth.shape[::-1])
    truth, seen = seen_by(view), depth > 0
    inside = (truth < WALL - 0.1) & seen
    assert seen.mean() > 0.8 and inside.sum() > 0.9 * (truth < WALL - 0.1).sum()
    return np.quantile(np.abs(depth - truth)[seen], 0.97) < 0.004


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("moving", [False, True])
def test_depth_is_registered_with_the_bags_own_transforms(tmp_path, compressed, moving):
    frames = read(write_two_lenses(tmp_path / "bag", compressed=compressed, moving=moving), "register")
    known = frames[:-1] if moving else frames  # after the last transform nothing says where the lens is
    for frame in known:
        assert np.allclose(frame.depth_pose, [[1, 0, 0, BASELINE], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        assert is_true(frame.depth())
    frame = known[0]
    mask = seen_by(COLOR) < WALL - 0.1
    points = target_cloud(mask, frame.depth(), frame.color(), frame.camera).points
    assert len(points) > 200 and np.quantile(off_the_ball(points), 0.95) < 0.004
    if moving:
        with pytest.raises(InvalidImageError, match="/tf and /tf_static do not say where 'depth_lens' is"):
            frames[-1].depth()


def test_depth_of_another_lens_is_refused_or_trusted(tmp_path):
    path = write_two_lenses(tmp_path / "bag")
    (frame, *_) = read(path, "refuse")
    with pytest.raises(InvalidImageError, match=r"'depth_lens', the image of 'color_lens'.*depth_registration"):
        frame.depth()
    (frame, *_) = read(path, "trust")
    assert np.allclose(frame.depth(), seen_by(LENS, BASELINE), atol=0.001)
    with pytest.raises(ConfigurationError, match="'believe' is not one of refuse, register, trust"):
        RgbdBag(path, depth_registration="believe")


@pytest.mark.parametrize(
    ("missing", "words"),
    [("transforms", "do not say where 'depth_lens' is in 'color_lens'"), ("depth_info", "depth_info_topic")],
)
def test_what_registration_lacks_is_told(tmp_path, missing, words):
    path = write_two_lenses(tmp_path / "bag", **{missing: False})
    with pytest.raises(InvalidImageError, match=words):
        read(path, "register")[0].depth()
    with RgbdBag(path, depth_registration="register") as bag:
        played = PlayedMessages(bag)
        roles = [bag.roles.get(message.topic) for message in played]
        assert roles.count("image") == 4 and "depth" not in roles
        assert played.left_out == 4 and words in played.reason


def test_another_lens_in_the_same_frame_is_seen_by_its_intrinsics(tmp_path):
    other = CameraModel(320, 240, 200.0, 200.0, 159.5, 119.5)
    bag = Loose(tmp_path / "bag", (IMAGE, messages.IMAGE), (DEPTH, messages.IMAGE), (INFO, messages.CAMERA_INFO),
                (DEPTH_INFO, messages.CAMERA_INFO))  # fmt: skip
    bag.add(INFO, 5, messages.camera_info(COLOR, 5, "lens"))
    bag.add(DEPTH_INFO, 5, messages.camera_info(other, 5, "lens"))
    bag.image(DEPTH, 5, 5, np.rint(seen_by(other) * 1000).astype(np.uint16), "16UC1", frame_id="lens")
    bag.image(IMAGE, 5, 5, np.zeros((240, 320, 3), np.uint8), "rgb8", frame_id="lens")
    bag.close()
    with pytest.raises(InvalidImageError, match="other intrinsics, up to"):
        read(bag.path, "refuse")[0].depth()
    assert is_true(read(bag.path, "register")[0].depth())


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("moving", [False, True])
def test_played_depth_lies_on_the_image(tmp_path, compressed, moving):
    path = write_two_lenses(tmp_path / "bag", compressed=compressed, moving=moving)
    with RgbdBag(path, depth_registration="register") as bag:
        played = PlayedMessages(bag)
        by_role = {}
        for message in played:
            by_role.setdefault(bag.roles.get(message.topic), []).append(message)
        of_frame = {bag.roles[message.topic]: message for message in PlayedMessages(bag).of_frame(next(bag.frames()))}
        raw = [message.data for message in bag.messages() if bag.roles.get(message.topic) == "image"]
    assert played.left_out == (1 if moving else 0)
    assert [message.data for message in by_role["image"]] == raw
    for message, info in zip(by_role["depth"], by_role["depth_info"], strict=False):
        depth = to_depth(message.message)
        assert message.message.header.frame_id == info.message.header.frame_id == "color_lens" and is_true(depth)
        assert camera_model(info.message) == COLOR.scaled(*depth.shape[::-1])
    assert of_frame["depth"].data == by_role["depth"][0].data
    assert camera_model(of_frame["depth_info"].message) == camera_model(by_role["depth_info"][0].message)


def test_trusted_depth_is_played_in_the_images_frame(tmp_path):
    bag = Loose(tmp_path / "bag", (IMAGE, messages.IMAGE), (DEPTH, messages.IMAGE), (INFO, messages.CAMERA_INFO))
    bag.add(INFO, 5, messages.camera_info(COLOR, 5, "rgb_camera"))
    bag.image(DEPTH, 5, 5, np.full((240, 320), 900, np.uint16), "16UC1", frame_id="depth_aligned")
    bag.image(IMAGE, 5, 5, np.zeros((240, 320, 3), np.uint8), "rgb8", frame_id="rgb")
    bag.close()
    with RgbdBag(bag.path, depth_registration="trust") as opened:
        found = {opened.roles[message.topic]: message.message for message in PlayedMessages(opened)}
    assert {message.header.frame_id for message in found.values()} == {"rgb"}
    assert np.allclose(to_depth(found["depth"]), 0.9)


@pytest.mark.ros
def test_play_tells_of_another_lens_and_refuses_it_where_it_is_told_to(tmp_path, capsys):
    path = str(write_two_lenses(tmp_path / "bag"))
    assert main(["play", path, "--depth-registration", "refuse"]) == 2
    assert "'depth_lens', the image of 'color_lens': --depth-registration register" in capsys.readouterr().err
    assert main(["play", path, "--wait", "0", "--rate", "50"]) == 0
    assert "it is played as it is (see --depth-registration)" in capsys.readouterr().out
    assert main(["play", path, "--wait", "0", "--rate", "50", "--depth-registration", "register"]) == 0
    assert "depth" not in capsys.readouterr().out.replace("/camera/depth", "")
    path = str(write_two_lenses(tmp_path / "poor", transforms=False))
    assert main(["play", path, "--wait", "0", "--rate", "50", "--depth-registration", "register"]) == 1
    assert "4 depth images were left out: /camera/depth/image_raw cannot be registered" in capsys.readouterr().out
