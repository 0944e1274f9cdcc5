""".sens to bag: nothing of the images is lost, stamps tell the frame, poses that are no poses stay out."""

import hashlib
import json
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lisa_ros.cli import main
from lisa_ros.errors import ConfigurationError, RecordingError
from lisa_ros.recordings.bag_reader import RgbdBag
from lisa_ros.recordings.topics import START, STEP, index_of_stamp, stamp_of_index
from lisa_ros.scannet.convert import convert
from lisa_ros.scannet.sens import SensReader
from lisa_ros.scannet.sens_writer import SensWriter

pytestmark = pytest.mark.unit

COLOR = np.full((10, 12, 3), 90, np.uint8)
DEPTH = np.full((4, 6), 1500, np.uint16)


def sha(data):
    return hashlib.sha256(bytes(data)).hexdigest()


def depth_png(message):
    """(h, w) uint16 of a compressedDepth message, header checked."""
    assert message.format == "16UC1; compressedDepth png"
    assert bytes(message.data[:12]) == bytes(12)
    return cv2.imdecode(message.data[12:], cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_golden_scan_round_trip(sens, expected, tmp_path, storage):
    manifest = convert(sens, tmp_path / "bag", storage)
    with RgbdBag(tmp_path / "bag") as bag:
        frames = list(bag.frames())
        assert bag.manifest == manifest
        transforms = sum(message.topic == "/tf" for message in bag.messages())
    assert transforms == sum(frame["pose"] is not None for frame in expected["frames"])
    for index, (frame, truth) in enumerate(zip(frames, expected["frames"], strict=True)):
        assert (frame.index, frame.stamp, frame.frame_id) == (index, START + index * STEP, "camera_color_optical_frame")
        assert sha(frame.messages["image"].message.data) == truth["jpeg_sha256"]
        assert sha(depth_png(frame.messages["depth"].message).tobytes()) == truth["depth_sha256"]
        assert np.count_nonzero(frame.depth()) == truth["depth_valid"]
        assert {message.stamp for role, message in frame.messages.items() if role != "tf"} == {frame.stamp}
        if truth["pose"] is None:
            assert frame.pose is None
        else:
            assert np.allclose(frame.pose, truth["pose"], atol=1e-5)
        k = np.reshape(frame.messages["depth_info"].message.k, (3, 3))
        assert np.array_equal(np.float32(k), np.float32(expected["depth_intrinsic"])[:3, :3])
        assert np.array_equal(np.float32(frame.camera.matrix), np.float32(expected["color_intrinsic"])[:3, :3])
        assert [frame.camera.width, frame.camera.height] == expected["color_size"]


def test_bag_and_sens_give_equal_pixels(sens, tmp_path):
    convert(sens, tmp_path / "bag")
    with SensReader(sens) as reader, RgbdBag(tmp_path / "bag") as bag:
        for raw, frame in zip(reader, bag.frames(), strict=True):
            assert np.array_equal(raw.color(), frame.color())
            assert np.array_equal(raw.depth(), np.rint(frame.depth() * 1000))


def test_manifest_says_what_happened(sens, tmp_path):
    manifest = convert(sens, tmp_path / "bag")
    assert json.loads((tmp_path / "bag" / "manifest.json").read_text()) == manifest
    assert manifest["scene"] == "scene0000_00" and manifest["frames"] == manifest["written"] == 12
    assert manifest["poses"] == {"written": 10, "lost": [3, 8], "implausible": []}
    assert manifest["device_stamps"] == {"zero": 6, "backwards": 0}
    assert manifest["depth"]["source_shift"] == 1000 and manifest["skipped"] == []
    assert manifest["stamps"] == {"rule": "stamp = start_ns + frame * step_ns", "start_ns": START, "step_ns": STEP}


def test_stamps_tell_the_frame():
    for index in (0, 1, 29, 30, 1_000_000):
        assert index_of_stamp(stamp_of_index(index)) == index
    assert index_of_stamp(stamp_of_index(3) + 1) is None
    assert index_of_stamp(0) is None


def without_huffman_codes(jpeg: bytes) -> bytes:
    """A JPEG that has every part of one, and cannot be decoded."""
    counts = jpeg.index(b"\xff\xc4") + 5
    return jpeg[:counts] + b"\xff" * 16 + jpeg[counts + 16 :]


def test_damaged_frames_are_left_out_and_counted(tmp_path, header):
    jpeg = cv2.imencode(".jpg", COLOR)[1].tobytes()
    small = cv2.imencode(".jpg", COLOR[:4])[1].tobytes()
    lines = {
        "no jpeg": (b"nothing", DEPTH),
        "without an end": (jpeg[:-2], DEPTH),
        "neither a whole JPEG": (without_huffman_codes(jpeg), DEPTH),
        "12x4, not 12x10": (small, DEPTH),
        "cannot be inflated": (jpeg, b"nothing"),
        "48 belong": (jpeg, zlib.compress(b"short")),
    }
    with SensWriter(tmp_path / "x.sens", header()) as writer:
        writer.add(COLOR, DEPTH, np.eye(4), stamp=50)
        for color, depth in lines.values():
            writer.add(color, depth, np.eye(4), stamp=20)
        writer.add(COLOR, DEPTH, np.diag([1, 1, -1, 1.0]))
    manifest = convert(tmp_path / "x.sens", tmp_path / "bag")
    assert (manifest["frames"], manifest["written"]) == (8, 2)
    assert [entry["frame"] for entry in manifest["skipped"]] == [1, 2, 3, 4, 5, 6]
    for entry, words in zip(manifest["skipped"], lines, strict=True):
        assert words in entry["reason"]
    assert manifest["poses"] == {"written": 1, "lost": [], "implausible": [7]}
    assert manifest["device_stamps"] == {"zero": 1, "backwards": 6}
    with RgbdBag(tmp_path / "bag") as bag:
        assert [(frame.index, frame.pose is None) for frame in bag.frames()] == [(0, False), (7, True)]


def test_depth_of_another_unit_becomes_millimetres(tmp_path, header):
    with SensWriter(tmp_path / "x.sens", header(depth_shift=500.0)) as writer:
        writer.add(COLOR, np.array([[0, 1, 700, 32767, 32768, 65535]] * 4, np.uint16))
    convert(tmp_path / "x.sens", tmp_path / "bag")
    with RgbdBag(tmp_path / "bag") as bag:
        (frame,) = bag.frames()
    assert depth_png(frame.messages["depth"].message)[0].tolist() == [0, 2, 1400, 65534, 0, 0]


def test_png_colour_and_raw_depth_are_converted(tmp_path, header):
    with SensWriter(tmp_path / "x.sens", header(color_compression="png", depth_compression="raw")) as writer:
        writer.add(COLOR, DEPTH)
    convert(tmp_path / "x.sens", tmp_path / "bag")
    with RgbdBag(tmp_path / "bag") as bag:
        (frame,) = bag.frames()
        assert np.array_equal(frame.color(), COLOR)
        assert np.array_equal(depth_png(frame.messages["depth"].message), DEPTH)


def turned(header):
    extrinsic = np.eye(4, dtype=np.float32)
    extrinsic[0, 3] = 0.037
    return replace(header, depth_extrinsic=extrinsic)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (turned, "extrinsics are not identity"),
        (lambda header: replace(header, color_compression="raw"), "colour is 'raw'"),
    ],
)
def test_what_cannot_be_converted_is_refused(tmp_path, header, change, words):
    with SensWriter(tmp_path / "x.sens", change(header())) as writer:
        writer.add(COLOR, DEPTH)
    with pytest.raises(RecordingError, match=words):
        convert(tmp_path / "x.sens", tmp_path / "bag")
    assert not (tmp_path / "bag").exists()


def test_occi_depth_is_refused(tmp_path, header):
    with SensWriter(tmp_path / "x.sens", header()) as writer:
        writer.add(COLOR, DEPTH)
    data = bytearray((tmp_path / "x.sens").read_bytes())
    data[300] = 2
    (tmp_path / "x.sens").write_bytes(data)
    with pytest.raises(RecordingError, match="occi"):
        convert(tmp_path / "x.sens", tmp_path / "bag")


def test_truncated_and_empty_files_leave_no_bag(sens, tmp_path, header):
    (tmp_path / "cut.sens").write_bytes(sens.read_bytes()[:-3000])
    with pytest.raises(RecordingError, match="truncated"):
        convert(tmp_path / "cut.sens", tmp_path / "bag")
    with SensWriter(tmp_path / "none.sens", header()):
        pass
    with pytest.raises(RecordingError, match="no frames"):
        convert(tmp_path / "none.sens", tmp_path / "bag")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.sens", "none.sens"]


def test_a_bag_that_exists_is_not_touched(sens, tmp_path):
    (tmp_path / "bag").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        convert(sens, tmp_path / "bag")
    with pytest.raises(ConfigurationError, match="cannot write"):
        convert(sens, tmp_path / "none" / "bag")


def test_command_line(sens, tmp_path, capsys):
    bag = tmp_path / "bags" / "scene"  # whose folder is made
    assert main(["scannet", "convert", str(sens), "--out", str(bag), "--storage", "sqlite3"]) == 0
    assert "12 of 12 frames, 10 with a pose (2 lost" in capsys.readouterr().out
    assert main(["scannet", "info", str(sens.parent)]) == 0
    assert "324x242 jpeg" in capsys.readouterr().out
    queries = tmp_path / "queries" / "scene.jsonl"
    assert main(["scannet", "queries", str(sens), "--out", str(queries), "--step", "6"]) == 0
    assert len(queries.read_text().splitlines()) == 4
    assert main(["scannet", "convert", str(tmp_path / "none.sens"), "--out", str(tmp_path / "other")]) == 2
    assert "there is no" in capsys.readouterr().err
