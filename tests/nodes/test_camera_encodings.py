"""Encodings of colour and depth as drivers and transports write them, made here without the decoder's own code."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from lisa_ros.errors import InvalidImageError
from lisa_ros.sensor_messages.image_messages import decode_color, to_data, to_depth, to_rgb

pytestmark = pytest.mark.unit

RED = (200, 40, 30)


def scene(height=48, width=64):
    """A red field with a blue one, wide enough for every kind of shared colour: (H, W, 3) uint8 RGB."""
    image = np.full((height, width, 3), RED, np.uint8)
    image[height // 2 :, width // 2 :] = (20, 60, 210)
    return image


def sent(rows, encoding, width, height, big_endian=False):
    """Image of rows of samples (R, ...), whatever the picture's size is."""
    samples = np.ascontiguousarray(rows).view(np.uint8).reshape(rows.shape[0], -1)
    return Image(width=width, height=height, encoding=encoding, step=samples.shape[1], data=to_data(samples),
                 is_bigendian=int(big_endian))  # fmt: skip


def yuv(rgb):
    """BT.601 with the range of video, (H, W, 3) float, by its definition."""
    r, g, b = (rgb[..., i].astype(float) / 255 for i in range(3))
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    u = 128 - 37.797 * r - 74.203 * g + 112 * b
    v = 128 + 112 * r - 93.786 * g - 18.214 * b
    return np.rint(np.stack([y, u, v], axis=-1)).astype(np.uint8)


def packed(rgb, encoding):
    """4:2:2 with one colour for two pixels."""
    planes = yuv(rgb)
    y, u, v = planes[..., 0], planes[:, ::2, 1], planes[:, ::2, 2]
    out = np.empty((*rgb.shape[:2], 2), np.uint8)
    colour = 0 if encoding in ("yuv422", "uyvy") else 1
    out[..., 1 - colour] = y
    out[:, ::2, colour], out[:, 1::2, colour] = u, v
    return out


def planar(rgb, encoding):
    planes = yuv(rgb)
    step = 1 if encoding == "nv24" else 2
    colour = planes[::step, ::step, 1:]
    colour = colour[..., ::-1] if encoding == "nv21" else colour
    return np.concatenate([planes[..., 0].ravel(), colour.ravel()]).reshape(-1, rgb.shape[1])


def mosaic(rgb, encoding):
    """One colour a pixel, in the order of the encoding's name, row by row."""
    letters = encoding.removeprefix("bayer_")[:4]
    out = np.empty(rgb.shape[:2], np.uint8)
    for place, letter in enumerate(letters):
        row, column = divmod(place, 2)
        out[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    return out


def assert_scene(rgb, tolerance=4):
    expected = scene()
    assert rgb.shape == expected.shape and rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    off = np.abs(rgb.astype(int) - expected).max(axis=2)
    off[21:27, 28:] = off[21:, 29:35] = 0  # colour is shared across the edge
    assert off.max() <= tolerance


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_packed_yuv(encoding):
    assert_scene(to_rgb(sent(packed(scene(), encoding), encoding, 64, 48)))


@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24"])
@pytest.mark.parametrize("padding", [0, 7])
def test_planar_yuv(encoding, padding):
    planes = planar(scene(), encoding)
    if encoding == "nv24":
        rows = [*np.pad(planes[:48], ((0, 0), (0, padding))).ravel()]
        rows += [*np.pad(planes[48:].reshape(48, 128), ((0, 0), (0, 2 * padding))).ravel()]
        padded = np.array(rows, np.uint8).reshape(-1, 64 + padding)
    else:
        padded = np.pad(planes, ((0, 0), (0, padding)))
    assert_scene(to_rgb(sent(padded, encoding, 64, 48)))


def test_planar_yuv_of_a_driver_that_counts_colour_into_the_step():
    message = sent(planar(scene(), "nv12"), "nv12", 64, 48)
    message.step = 96
    assert_scene(to_rgb(message))


@pytest.mark.parametrize("change", [{"data": to_data(np.zeros(64 * 71, np.uint8))}, {"width": 63}, {"height": 47}])
def test_planes_that_do_not_fit_are_refused(change):
    message = sent(planar(scene(), "nv12"), "nv12", 64, 48)
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(InvalidImageError, match="nv12"):
        to_rgb(message)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_mosaics(order, bits):
    pixels = mosaic(scene(), f"bayer_{order}{bits}")
    if bits == 16:
        pixels = pixels.astype(np.uint16) * 257
    assert_scene(to_rgb(sent(pixels, f"bayer_{order}{bits}", 64, 48)), 0)


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("8UC3", "bgr"), ("8UC4", "bgra"), ("16UC3", "bgr"), ("16UC4", "bgra"), ("rgb16", "rgb"), ("bgr16", "bgr"),
     ("rgba16", "rgba"), ("bgra16", "bgra")],
)  # fmt: skip
def test_other_colour(encoding, order):
    pixels = np.stack([scene()[..., "rgb".index(c)] if c != "a" else scene()[..., 0] for c in order], axis=-1)
    if "16" in encoding:
        pixels = pixels.astype(np.uint16) * 257
    assert_scene(to_rgb(sent(pixels, encoding, 64, 48)), 0)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bayer_rggb16"])
def test_a_sensor_of_fewer_bits_is_as_bright_as_any(encoding, bits):
    levels = np.array([[0, 1, 2**bits // 2, 2**bits - 1] * 4] * 4, np.uint16)
    pixels = np.repeat(levels[..., None], 3, axis=2) if encoding == "rgb16" else levels
    rgb, remark = decode_color(sent(pixels, encoding, 16, 4))
    assert rgb.max() == 255 and rgb.min() == 0
    if encoding == "mono16":
        assert rgb[0, :4, 0].tolist() == [0, round(255 / (2**bits - 1)), 128, 255]
    assert ("image_bits" in remark) == (bits < 16)


def test_a_dark_picture_stays_dark_where_the_sensor_is_told():
    message = sent(np.full((4, 4), 100, np.uint16), "mono16", 4, 4)
    rgb, remark = decode_color(message, 12)
    assert rgb.max() == round(100 * 255 / 4095) and not remark
    assert decode_color(message)[0].max() == 100


def compressed(pixels, name, codec=".png"):
    return CompressedImage(format=name, data=to_data(cv2.imencode(codec, pixels, [cv2.IMWRITE_JPEG_QUALITY, 98])[1]))


@pytest.mark.parametrize("codec", ["jpeg", "png"])
@pytest.mark.parametrize("camera", ["rgb8", "bgr8", "rgba8", "bgra8"])
@pytest.mark.parametrize("form", ["{camera}; {codec} compressed bgr8", "{camera};{codec} compressed bgr8", "{codec}",
                                  "{camera}; {codec} compressed ", "{camera}; {codec}"])  # fmt: skip
def test_a_file_holds_red_and_blue_by_convention(form, camera, codec):
    message = compressed(scene()[..., ::-1], form.format(camera=camera, codec=codec), "." + codec)
    assert_scene(to_rgb(message), 8)


@pytest.mark.parametrize("camera", ["rgb8", "bgr8", "rgba8"])
@pytest.mark.parametrize("codec", ["jpeg", "png"])
def test_a_payload_that_says_rgb_has_red_and_blue_exchanged_in_the_file(camera, codec):
    message = compressed(scene(), f"{camera}; {codec} compressed rgb8", "." + codec)
    assert_scene(to_rgb(message), 8)


@pytest.mark.parametrize("order", ["rggb", "grbg"])
@pytest.mark.parametrize("form", ["bayer_{}8; png compressed ", "bayer_{}8; jpeg compressed ",
                                  "bayer_{0}8; jpeg compressed bayer_{0}8"])  # fmt: skip
def test_a_compressed_mosaic_gets_its_colours(order, form):
    codec = ".png" if "png" in form else ".jpg"
    message = compressed(mosaic(scene(), f"bayer_{order}8"), form.format(order), codec)
    rgb, remark = decode_color(message)
    assert not remark
    if codec == ".png":
        assert_scene(rgb, 0)
    assert np.abs(rgb[10, 10].astype(int) - RED).max() < 40  # JPEG smears what changes from pixel to pixel


@pytest.mark.parametrize("camera", ["rgb8", "bayer_rggb8", "yuv422"])
def test_colour_that_is_gone_is_told(camera):
    grey = cv2.cvtColor(scene(), cv2.COLOR_RGB2GRAY)
    rgb, remark = decode_color(compressed(grey, f"{camera}; jpeg compressed mono8", ".jpg"))
    assert rgb.shape == (48, 64, 3) and "colour is gone" in remark
    assert decode_color(compressed(grey, "mono8; jpeg compressed mono8", ".jpg"))[1] == ""


def test_compressed_images_of_16_bits():
    pixels = scene()[..., ::-1].astype(np.uint16)
    assert_scene(to_rgb(compressed(pixels * 257, "rgb16; png compressed bgr16")), 0)
    grey = np.array([[0, 512, 1023]], np.uint16)
    rgb, remark = decode_color(compressed(grey, "mono16; png compressed "))
    assert rgb[0, :, 0].tolist() == [0, 128, 255] and "10 bits" in remark


def test_an_unknown_encoding_names_the_known_ones():
    with pytest.raises(InvalidImageError, match=r"'yuv444'.*bayer_rggb8.*yuv422_yuy2.*nv12"):
        to_rgb(Image(width=2, height=2, step=6, encoding="yuv444", data=[0] * 12))


def rvl(depth):
    """An encoder of its own: bits in a string, by the paper's words."""
    nibbles, previous, flat = [], 0, depth.ravel().tolist()

    def put(number):
        groups = []
        while True:
            groups.append(number & 7)
            number >>= 3
            if not number:
                break
        nibbles.extend([group | 8 for group in groups[:-1]] + groups[-1:])

    at = 0
    while at < len(flat):
        start = at
        while at < len(flat) and flat[at] == 0:
            at += 1
        put(at - start)
        run = at
        while run < len(flat) and flat[run]:
            run += 1
        put(run - at)
        for value in flat[at:run]:
            step, previous = value - previous, value
            put(2 * step if step >= 0 else -2 * step - 1)
        at = run
    text = "".join(f"{nibble:x}" for nibble in nibbles)
    text += "0" * (-len(text) % 8)
    words = b"".join(struct.pack("<I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8))
    return struct.pack("<II", depth.shape[1], depth.shape[0]) + words


def rvl_message(depth, name="16UC1; compressedDepth rvl", quantisation=(0.0, 0.0), cut=None):
    data = struct.pack("<iff", 0, *quantisation) + rvl(depth)
    return CompressedImage(format=name, data=to_data(np.frombuffer(data[:cut], np.uint8)))


@given(st.integers(1, 7), st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_rvl_of_any_picture(height, width, holes, seed):
    random = np.random.default_rng(seed)
    depth = random.integers(0, 65536, (height, width)).astype(np.uint16)
    depth[random.random(depth.shape) < holes] = 0
    for name in ("16UC1; compressedDepth rvl", "mono16; compressedDepth rvl"):
        np.testing.assert_allclose(to_depth(rvl_message(depth, name)), depth * np.float32(0.001), rtol=1e-6)


def test_rvl_of_quantised_depth_and_of_a_real_size():
    depth = (1000 + np.add.outer(np.arange(480), np.arange(640)) // 3).astype(np.uint16)
    depth[100:200, ::3] = 0
    np.testing.assert_allclose(to_depth(rvl_message(depth)), depth * np.float32(0.001), rtol=1e-6)
    metres = to_depth(rvl_message(np.array([[0, 500]], np.uint16), "32FC1; compressedDepth rvl", (10100.0, -1009.0)))
    np.testing.assert_allclose(metres, [[0, 10100 / 1509]], rtol=1e-5)


@pytest.mark.parametrize("cut", [13, 20, 24, -4])
def test_rvl_that_is_cut_off_is_refused(cut):
    depth = np.arange(1, 1001, dtype=np.uint16).reshape(20, 50)
    with pytest.raises(InvalidImageError, match=r"RVL|shorter"):
        to_depth(rvl_message(depth, cut=cut))


def test_rvl_that_claims_to_be_huge_is_refused():
    message = rvl_message(np.ones((2, 2), np.uint16))
    data = bytearray(bytes(message.data))
    data[12:20] = struct.pack("<II", 100_000, 100_000)
    with pytest.raises(InvalidImageError, match="100000x100000"):
        to_depth(CompressedImage(format=message.format, data=to_data(np.frombuffer(bytes(data), np.uint8))))


@pytest.mark.parametrize("name", ["mono16; compressedDepth png", "16UC1; compressedDepth", "16UC1"])
def test_compressed_depth_of_older_and_other_transports(name):
    levels = np.array([[0, 1500]], np.uint16)
    data = struct.pack("<iff", 0, 0, 0) + cv2.imencode(".png", levels)[1].tobytes()
    message = CompressedImage(format=name, data=to_data(np.frombuffer(data, np.uint8)))
    np.testing.assert_allclose(to_depth(message), [[0, 1.5]])


@pytest.mark.parametrize("form", ["bayer_rggb; png compressed ", "bayer_rggb8 png", "BAYER_RGGB8;png compressed"])
def test_a_mosaic_whose_driver_writes_its_format_from_memory(form):
    assert_scene(to_rgb(compressed(mosaic(scene(), "bayer_rggb8"), form, ".png")), 0)


@pytest.mark.parametrize("name", ["bayer_rggb12", "BayerRG8", "bayer_rgbg8", "nv12", "NV21"])
def test_one_channel_whose_colour_is_coded_in_an_unknown_way_is_refused(name):
    message = compressed(mosaic(scene(), "bayer_rggb8"), f"{name}; png compressed ", ".png")
    with pytest.raises(InvalidImageError, match=name.lower() if name.lower().startswith("nv") else name):
        to_rgb(message)


@pytest.mark.parametrize("name", ["i420", "16SC1", "unknown8"])
def test_one_channel_of_an_unknown_encoding_is_told(name):
    rgb, remark = decode_color(compressed(scene()[..., 0], f"{name}; png compressed ", ".png"))
    assert (rgb == scene()[..., :1]).all() and f"'{name}' is no encoding that is known" in remark


@pytest.mark.parametrize("form", ["rgb8; png rgb8", "rgb8;png compressed:rgb8", "rgb8 png compressed rgb8"])
def test_exchanged_channels_are_seen_however_the_format_is_written(form):
    assert_scene(to_rgb(compressed(scene(), form, ".png")), 0)


@pytest.mark.parametrize("form", ["16UC1; png compressed ", "16uc1;png compressed 16UC1", "mono16; PNG compressed"])
def test_depth_of_the_plain_transport(form):
    depth = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    assert np.allclose(to_depth(compressed(depth, form, ".png")), depth / 1000)
    with pytest.raises(InvalidImageError, match="uint8"):
        to_depth(compressed(depth.astype(np.uint8), form, ".png"))
