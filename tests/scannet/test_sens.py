"""`.sens` files: parity with ScanNet's official reader, round trips, and every way to end too early."""

import hashlib
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lisa_ros.errors import ConfigurationError, InvalidImageError, RecordingError
from lisa_ros.scannet.sens import ImuFrame, SensHeader, SensReader
from lisa_ros.scannet.sens_writer import SensWriter

pytestmark = pytest.mark.unit

POSE = np.eye(4, dtype=np.float32)
COLOR = np.arange(360, dtype=np.uint8).reshape(10, 12, 3)
DEPTH = np.arange(24, dtype=np.uint16).reshape(4, 6) * 1000


def sha(data):
    return hashlib.sha256(data).hexdigest()


def write(path, header, frames=2, imu=0):
    with SensWriter(path, header) as writer:
        for _ in range(frames):
            writer.add(COLOR, DEPTH, POSE)
        writer.add_imu([ImuFrame(*np.ones((5, 3)), stamp=i) for i in range(imu)])
    return path


def test_header_is_what_the_official_reader_returns(sens, expected):
    with SensReader(sens) as reader:
        header = reader.header
        assert (header.sensor, header.color_size, header.depth_size, header.depth_shift) == (
            expected["sensor"],
            tuple(expected["color_size"]),
            tuple(expected["depth_size"]),
            expected["depth_shift"],
        )
        assert np.array_equal(header.color_intrinsic, np.float32(expected["color_intrinsic"]))
        assert np.array_equal(header.depth_intrinsic, np.float32(expected["depth_intrinsic"]))
        assert header.is_aligned
        assert len(reader) == len(expected["frames"])
        assert reader.check() == len(list(reader.imu())) == expected["imu_frames"]


def test_frames_are_what_the_official_reader_returns(sens, expected):
    with SensReader(sens) as reader:
        for frame, truth in zip(reader, expected["frames"], strict=True):
            assert sha(frame.color_data) == truth["jpeg_sha256"]
            assert sha(frame.depth().tobytes()) == truth["depth_sha256"]
            assert np.count_nonzero(frame.depth()) == truth["depth_valid"]
            assert frame.color_stamp == truth["stamp"]
            assert frame.color().shape == (*expected["color_size"][::-1], 3)
            if truth["pose"] is None:
                assert frame.pose_problem == "lost" and frame.rigid_pose is None
            else:
                assert np.array_equal(frame.pose, np.float32(truth["pose"]))
                assert np.allclose(frame.rigid_pose, truth["pose"], atol=1e-5)


def test_the_golden_file_written_again_is_the_same_file(sens, tmp_path):
    with SensReader(sens) as reader, SensWriter(tmp_path / "again.sens", reader.header) as writer:
        for frame in reader:
            pose = None if frame.pose_problem else frame.pose
            writer.add(frame.color_data, frame.depth_data, pose, frame.color_stamp, frame.depth_stamp)
        writer.add_imu(reader.imu())
    assert (tmp_path / "again.sens").read_bytes() == sens.read_bytes()


def test_wanted_frames_alone_are_read(sens):
    with SensReader(sens) as reader:
        every = {frame.index: frame.color_data for frame in reader}
        some = {frame.index: frame.color_data for frame in reader.frames({2, 7})}
    assert some == {2: every[2], 7: every[7]}


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_is_read(data):
    w, h = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)), "depth size")
    header = SensHeader(
        color_intrinsic=data.draw(matrices(), "colour K"),
        depth_intrinsic=data.draw(matrices(), "depth K"),
        color_extrinsic=data.draw(matrices(), "colour extrinsic"),
        color_size=(4, 3),
        depth_size=(w, h),
        sensor=data.draw(st.text(max_size=20), "sensor"),
        color_compression=data.draw(st.sampled_from(["raw", "png", "jpeg"])),
        depth_compression=data.draw(st.sampled_from(["raw", "zlib"])),
        depth_shift=data.draw(st.floats(1, 5000, width=32)),
    )
    stamps = st.integers(0, 2**64 - 1)
    frame = st.tuples(
        hnp.arrays(np.uint8, (3, 4, 3)),
        hnp.arrays(np.uint16, (h, w)),
        st.none() | hnp.arrays(np.float32, (4, 4), elements=st.floats(width=32)),
        stamps,
        stamps,
    )
    frames = data.draw(st.lists(frame, max_size=4), "frames")
    imu = data.draw(st.lists(st.tuples(hnp.arrays(np.float64, (5, 3), elements=st.floats()), stamps), max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sens"
        with SensWriter(path, header) as writer:
            for color, depth, pose, stamp, depth_stamp in frames:
                writer.add(color, depth, pose, stamp, depth_stamp)
            writer.add_imu(ImuFrame(*values, stamp=stamp) for values, stamp in imu)
        with SensReader(path) as reader:
            assert_same_header(reader.header, header, len(frames))
            assert reader.check() == len(imu)
            for found, (color, depth, pose, stamp, depth_stamp) in zip(reader, frames, strict=True):
                assert np.array_equal(found.depth(), depth)
                assert header.color_compression == "jpeg" or np.array_equal(found.color(), color)
                assert np.array_equal(found.pose, np.full((4, 4), -np.inf) if pose is None else pose, equal_nan=True)
                assert (found.color_stamp, found.depth_stamp) == (stamp, depth_stamp)
            for found, (values, stamp) in zip(reader.imu(), imu, strict=True):
                assert np.array_equal(found.gravity, values[4], equal_nan=True) and found.stamp == stamp


def matrices():
    """Usable intrinsics: finite, with positive focal lengths."""

    def positive(matrix):
        matrix[0, 0], matrix[1, 1] = abs(matrix[0, 0]) + 1, abs(matrix[1, 1]) + 1
        return matrix

    return hnp.arrays(np.float32, (4, 4), elements=st.floats(-1e6, 1e6, width=32)).map(positive)


def assert_same_header(found, header, count):
    assert found.frame_count == count
    for name in ("color_intrinsic", "depth_intrinsic", "color_extrinsic", "depth_extrinsic"):
        assert np.array_equal(getattr(found, name), getattr(header, name)), name
    for name in ("color_size", "depth_size", "sensor", "color_compression", "depth_compression", "depth_shift"):
        assert getattr(found, name) == getattr(header, name), name


def boundaries(name_length, color_bytes, depth_bytes, frames, imu):
    """Where each field of a file ends."""
    sizes = [4, 8, name_length, *[64] * 4, *[4] * 7, 8]
    sizes += [64, 8, 8, 8, 8, color_bytes, depth_bytes] * frames + [8] + [120, 8] * imu
    return np.cumsum([0, *sizes]).tolist()


def test_a_file_cut_at_any_boundary_is_refused(tmp_path, header):
    path = write(tmp_path / "whole.sens", header(color_compression="raw", depth_compression="raw"), frames=2, imu=2)
    data, ends = path.read_bytes(), boundaries(28, COLOR.nbytes, DEPTH.nbytes, frames=2, imu=2)
    assert ends[-1] == len(data)
    for size in sorted({end + step for end in ends for step in (-1, 0, 1)} & set(range(len(data)))):
        path.write_bytes(data[:size])
        with pytest.raises(RecordingError, match=r"whole\.sens"), SensReader(path) as reader:
            reader.check()


def test_a_cut_inside_a_frame_is_told_when_it_is_reached(tmp_path, header):
    data = write(tmp_path / "whole.sens", header(), frames=3).read_bytes()
    (tmp_path / "cut.sens").write_bytes(data[:-20])
    with SensReader(tmp_path / "cut.sens") as reader:
        frames = iter(reader)
        assert [next(frames).index, next(frames).index] == [0, 1]
        words = r"truncated or damaged at depth of frame 2: byte \d+ .* ends after \d+"
        with pytest.raises(RecordingError, match=words):
            next(frames)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (0, struct.pack("<I", 5), "version 5"),
        (4, struct.pack("<Q", 1 << 60), "sensor name"),
        (40, struct.pack("<f", float("nan")), "colour intrinsics"),
        (296, struct.pack("<i", -1), "colour compression -1 is unknown"),
        (296, struct.pack("<i", 9), "colour compression 9 is unknown"),
        (300, struct.pack("<i", 7), "depth compression 7 is unknown"),
        (304, struct.pack("<I", 0), "colour size 0x10"),
        (312, struct.pack("<I", 1 << 31), "depth size"),
        (320, struct.pack("<f", 0.0), "depth shift"),
        (320, struct.pack("<f", 1e-30), r"depth shift 1e-30 must be within 1\.\.1e\+06 units a metre"),
        (320, struct.pack("<f", float("inf")), "depth shift inf"),
        (324, struct.pack("<Q", 1 << 40), "frames do not fit"),
        (324 + 8 + 80, struct.pack("<Q", 1 << 62), "colour of frame 0"),
    ],
)
def test_a_damaged_field_is_named(tmp_path, header, offset, value, words):
    path = write(tmp_path / "x.sens", header())  # 28 letters of sensor name, as in ScanNet
    data = bytearray(path.read_bytes())
    data[offset : offset + len(value)] = value
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=words), SensReader(path) as reader:
        reader.check()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="No such file"):
        SensReader(tmp_path / "none.sens")
    with pytest.raises(RecordingError, match="directory"):
        SensReader(tmp_path)


@pytest.mark.parametrize(
    ("color", "depth", "words"),
    [(b"no picture", DEPTH, "neither a whole JPEG"), (COLOR, b"no zlib", "cannot be inflated"),
     (COLOR, b"\x78\x9c\x03\x00\x00\x00\x00\x01", "0 bytes")],
)  # fmt: skip
def test_a_damaged_picture_is_an_error_of_its_frame(tmp_path, header, color, depth, words):
    with SensWriter(tmp_path / "x.sens", header()) as writer:
        writer.add(color, depth)
    with SensReader(tmp_path / "x.sens") as reader:
        (frame,) = reader
    with pytest.raises(InvalidImageError, match=rf"frame 0.*{words}"):
        frame.color(), frame.depth()


def test_depth_that_never_stops_inflating_is_refused(tmp_path, header):
    with SensWriter(tmp_path / "x.sens", header()) as writer:
        writer.add(COLOR, zlib.compress(bytes(5_000_000)))
    with SensReader(tmp_path / "x.sens") as reader:
        (frame,) = reader
    with pytest.raises(InvalidImageError, match="48 belong"):
        frame.depth()


def scaled(factor):
    """A pose whose axes are not of length 1."""
    return np.diag([factor, factor, factor, 1.0])


@pytest.mark.parametrize(
    ("pose", "problem"),
    [(None, "lost"), (np.full((4, 4), np.nan), "lost"), (scaled(2.0), "implausible"), (scaled(1.001), ""),
     (np.diag([1, 1, -1, 1]), "implausible"), (np.zeros((4, 4)), "implausible"), (np.eye(4) * 1.001, "implausible"),
     (np.eye(4) + 1e6 * np.eye(4, k=3), "implausible")],
)  # fmt: skip
def test_poses_are_judged_and_good_ones_made_exactly_rigid(tmp_path, header, pose, problem):
    with SensWriter(tmp_path / "x.sens", header()) as writer:
        writer.add(COLOR, DEPTH, pose)
    with SensReader(tmp_path / "x.sens") as reader:
        (frame,) = reader
    assert frame.pose_problem == problem
    assert frame.rigid_pose is None if problem else np.allclose(frame.rigid_pose, np.eye(4), atol=1e-12)


def test_writer_refuses_wrong_arrays_and_leaves_nothing_half_written(tmp_path, header):
    with pytest.raises(InvalidImageError, match="colour must be"), SensWriter(tmp_path / "x.sens", header()) as writer:
        writer.add(COLOR[:5], DEPTH)
    with pytest.raises(InvalidImageError, match="depth must be"), SensWriter(tmp_path / "x.sens", header()) as writer:
        writer.add(COLOR, DEPTH.astype(np.float32))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match="occi"):
        SensWriter(tmp_path / "x.sens", header(depth_compression="occi"))
    with pytest.raises(ConfigurationError, match="cannot write"):
        SensWriter(tmp_path / "none" / "x.sens", header())
