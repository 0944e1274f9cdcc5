import struct
import zlib
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from lisa_ros.errors import InvalidImageError
from lisa_ros.sensor_messages import image_messages
from lisa_ros.sensor_messages.image_messages import (
    ENCODINGS,
    camera_model,
    check_image,
    decode_image,
    to_data,
    to_depth,
    to_rgb,
)

pytestmark = pytest.mark.unit


def message(pixels, encoding, padding=0, big_endian=False):
    """A sensor_msgs/Image of pixels (H, W) or (H, W, C), its rows followed by `padding` bytes of rubbish."""
    height, width = pixels.shape[:2]
    stored = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.frombuffer(stored.tobytes(), np.uint8).reshape(height, -1)
    padded = np.concatenate([rows, np.full((height, padding), 0xAB, np.uint8)], axis=1)
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=padded.shape[1],
        is_bigendian=int(big_endian),
        data=to_data(padded),
    )


@st.composite
def pictures(draw, encodings=tuple(ENCODINGS)):
    """(encoding, pixels, padding, big_endian), any size up to 9x9."""
    encoding = draw(st.sampled_from(encodings))
    dtype, channels = ENCODINGS[encoding]
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9))) + ((channels,) if channels > 1 else ())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype == np.float32:
        pixels = random.normal(size=shape).astype(np.float32)
        pixels.flat[0] = draw(st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1.5]))
    else:
        pixels = random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    return encoding, pixels, draw(st.integers(0, 5)), draw(st.booleans())


@given(pictures())
def test_every_encoding_survives_padding_and_byte_order(picture):
    encoding, pixels, padding, big_endian = picture
    decoded = decode_image(message(pixels, encoding, padding, big_endian))
    assert decoded.dtype == pixels.dtype and decoded.dtype.isnative
    np.testing.assert_array_equal(decoded, pixels)


@given(pictures())
@pytest.mark.skipif(image_messages.load_cv_bridge() is None, reason="no ROS distribution with cv_bridge is sourced")
def test_numpy_decodes_like_the_distributions_cv_bridge(picture):
    encoding, pixels, padding, big_endian = picture
    sent = message(pixels, encoding, padding, big_endian)
    bridged = image_messages._decode_with_cv_bridge(image_messages.load_cv_bridge(), sent)
    np.testing.assert_array_equal(image_messages.decode_with_numpy(sent), bridged)


class Bridge:
    """Reads rows as the distribution's CvBridge does."""

    def imgmsg_to_cv2(self, sent, desired_encoding):
        assert desired_encoding == "passthrough"
        dtype, channels = ENCODINGS[sent.encoding]
        row = int(sent.step / np.dtype(dtype).itemsize / channels)
        dtype = np.dtype(dtype).newbyteorder(">" if sent.is_bigendian else "<")
        pixels = np.ndarray((sent.height, row, channels), dtype, buffer=sent.data)[:, : sent.width]
        return pixels.astype(dtype.newbyteorder("=")).reshape(sent.height, sent.width, *[channels][: channels > 1])


@given(pictures())
def test_padding_that_is_no_whole_pixel_does_not_skew_the_image_of_cv_bridge(picture):
    encoding, pixels, padding, big_endian = picture
    with mock.patch.object(image_messages, "_BRIDGE", Bridge()):
        decoded = decode_image(message(pixels, encoding, padding, big_endian))
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colour_channels_end_up_as_rgb(encoding):
    colour = {"r": 10, "g": 20, "b": 30, "a": 40}
    pixels = np.tile(np.array([colour[letter] for letter in encoding[:-1]], np.uint8), (4, 5, 1))
    rgb = to_rgb(message(pixels, encoding, padding=3))
    assert rgb.shape == (4, 5, 3) and rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    assert (rgb == (10, 20, 30)).all()


def test_grey_images_become_rgb_over_their_whole_range():
    levels = np.array([[0, 1, 128, 255]], np.uint8)
    assert (to_rgb(message(levels, "mono8")) == levels[..., None]).all()
    assert (to_rgb(message(levels.astype(np.uint16) * 257, "mono16", big_endian=True)) == levels[..., None]).all()


def test_depth_is_in_metres_with_zero_for_invalid():
    millimetres = np.array([[0, 1, 1500, 65535]], np.uint16)
    expected = np.array([[0, 0.001, 1.5, 65.535]], np.float32)
    for encoding in ("16UC1", "mono16"):
        np.testing.assert_allclose(to_depth(message(millimetres, encoding)), expected, rtol=1e-6)
    metres = np.array([[np.nan, np.inf, -np.inf, -1, 0, 2.5]], np.float32)
    np.testing.assert_array_equal(to_depth(message(metres, "32FC1", big_endian=True)), [[0, 0, 0, 0, 0, 2.5]])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"step": 11}, "step 11"),
        ({"step": 1000}, "1000"),
        ({"height": 0}, "4x0"),
        ({"width": 0}, "0x3"),
        ({"width": 400}, "1200 bytes"),
        ({"encoding": "yuv444"}, "'yuv444'"),
        ({"encoding": ""}, "''"),
        ({"data": to_data(np.zeros(35, np.uint8))}, "35 bytes"),
    ],
)
def test_an_image_that_contradicts_itself_is_refused_with_the_values(change, named):
    sent = message(np.zeros((3, 4, 3), np.uint8), "rgb8")
    for name, value in change.items():
        setattr(sent, name, value)
    for read in (check_image, to_rgb, decode_image):
        with pytest.raises(InvalidImageError) as error:
            read(sent)
    assert named in str(error.value)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 40), st.integers(0, 120), st.sampled_from(list(ENCODINGS)))
def test_no_lie_about_sizes_gets_past_the_check(height, width, step, length, encoding):
    sent = SimpleNamespace(
        height=height,
        width=width,
        step=step,
        encoding=encoding,
        is_bigendian=0,
        data=to_data(np.zeros(length, np.uint8)),
    )
    try:
        decoded = decode_image(sent)
    except InvalidImageError:
        return
    assert decoded.shape[:2] == (height, width) and length == step * height


def test_depth_as_colour_and_colour_as_depth_are_refused():
    with pytest.raises(InvalidImageError, match="16UC1"):
        to_rgb(message(np.zeros((2, 2), np.uint16), "16UC1"))
    with pytest.raises(InvalidImageError, match="rgb8"):
        to_depth(message(np.zeros((2, 2, 3), np.uint8), "rgb8"))


def compressed(data, name):
    return CompressedImage(format=name, data=to_data(np.frombuffer(bytes(data), np.uint8)))


def test_compressed_colour_images_are_decoded_to_rgb():
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:] = (200, 100, 50)
    png = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(to_rgb(compressed(png, "rgb8; png compressed bgr8")), pixels)
    jpeg = cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes()
    assert np.abs(to_rgb(compressed(jpeg, "rgb8; jpeg compressed bgr8")).astype(int) - pixels).max() < 6


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_compressed_depth_as_colour_is_refused(encoding):
    png = cv2.imencode(".png", np.full((16, 24), 1200, np.uint16))[1].tobytes()
    with pytest.raises(InvalidImageError, match=encoding):
        to_rgb(compressed(png, f"{encoding}; png compressed "))


@pytest.mark.parametrize("data", [b"", b"no image", cv2.imencode(".png", np.ones((9, 9), np.uint8))[1].tobytes()[:20]])
def test_damaged_compressed_images_are_refused(data):
    with pytest.raises(InvalidImageError, match=f"{len(data)} bytes"):
        to_rgb(compressed(data, "png"))


@pytest.mark.parametrize(("width", "height"), [(9000, 8000), (60000, 60000)])
def test_a_small_file_that_claims_to_be_huge_is_refused_before_it_is_decoded(width, height, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    png = bytearray(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    png[16:24] = struct.pack(">II", width, height)
    png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
    with pytest.raises(InvalidImageError, match="pixels"):
        to_rgb(compressed(bytes(png), "png"))


def compressed_depth(levels, name, quantisation=(0.0, 0.0)):
    header = np.array([0], "<i4").tobytes() + np.array(quantisation, "<f4").tobytes()
    return compressed(header + cv2.imencode(".png", levels)[1].tobytes(), name)


@given(st.integers(0, 2**32 - 1))
def test_compressed_depth_in_millimetres(seed):
    levels = np.random.default_rng(seed).integers(0, 65535, (5, 7), np.uint16)
    decoded = to_depth(compressed_depth(levels, "16UC1; compressedDepth png"))
    np.testing.assert_allclose(decoded, levels * np.float32(0.001), rtol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_compressed_depth_as_quantised_inverse_depth(seed):
    """As compressed_depth_image_transport writes it: depth_quantization 100, depth_max 10."""
    depth = np.random.default_rng(seed).uniform(0.3, 9.9, (5, 7)).astype(np.float32)
    depth[0, 0] = np.nan
    scale = 100.0 * (100.0 + 1.0)
    offset = 1.0 - scale / 10.0
    levels = np.where(np.isnan(depth), 0, scale / np.nan_to_num(depth, nan=1.0) + offset).astype(np.uint16)
    decoded = to_depth(compressed_depth(levels, "32FC1; compressedDepth png", (scale, offset)))
    assert decoded.dtype == np.float32 and decoded[0, 0] == 0
    np.testing.assert_allclose(decoded.ravel()[1:], depth.ravel()[1:], rtol=2e-2)


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (compressed(b"12345", "16UC1; compressedDepth png"), "5 bytes"),
        (compressed(b"1" * 40, "16UC1; compressedDepth png"), "28 bytes"),
        (compressed(b"1" * 40, "16UC1; compressedDepth zstd"), "zstd"),
        (compressed(b"1" * 40, "jpeg"), "jpeg"),
        (compressed_depth(np.zeros((4, 4, 3), np.uint8), "16UC1; compressedDepth png"), "uint8"),
    ],
)
def test_bad_compressed_depth_is_refused(sent, named):
    with pytest.raises(InvalidImageError, match=named):
        to_depth(sent)


def test_messages_take_the_bytes_of_any_array():
    for pixels in (np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(12.0)[::2], np.empty((0, 3), np.float32)):
        assert to_data(pixels).tobytes() == pixels.tobytes()


RAW = [600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]
RECTIFIED = [560.0, 0.0, 330.0, -28.0, 0.0, 570.0, 250.0, 0.0, 0.0, 0.0, 1.0, 0.0]  # -28: of a stereo pair's right eye


@pytest.mark.parametrize(
    ("projection", "distortion", "expected"),
    [(RECTIFIED, 0.1, (560, 570, 330, 250)), ([0.0] * 12, 0.0, (600, 600, 320, 240))],
)
def test_intrinsics_are_those_of_the_rectified_image(projection, distortion, expected):
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[distortion, 0.0, 0.0, 0.0, 0.0], k=RAW)
    info.p = projection
    camera = camera_model(info)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == expected and (camera.width, camera.height) == (640, 480)


def test_a_camera_that_says_it_is_not_calibrated_has_no_intrinsics():
    with pytest.raises(InvalidImageError, match="calibration"):
        camera_model(CameraInfo(width=640, height=480, k=[0.0] * 9, p=[0.0] * 12))
