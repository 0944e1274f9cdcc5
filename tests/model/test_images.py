"""Image files as RGB."""

import cv2
import numpy as np
import pytest
from PIL import Image

from lisa_ros.errors import InvalidImageError
from lisa_ros.images import read_image

pytestmark = pytest.mark.unit


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    """As OpenCV reads them, with which LISA was trained: the upper byte."""
    values = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    for name in ("grey.png", "grey.tiff"):
        Image.fromarray(values).save(tmp_path / name)
        image = read_image(tmp_path / name)
        assert image.dtype == np.uint8 and image.shape == (16, 16, 3)
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], values >> 8)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_sensors_bits_are_not_a_black_picture(tmp_path, bits, channels, caplog):
    """A file of 16 bits a channel does not say how many of them the sensor fills."""
    levels = np.linspace(0, 2**bits - 1, 64).astype(np.uint16).reshape(8, 8)
    pixels = np.stack([levels, levels // 2, levels // 4, levels * 0 + 65535], axis=-1)[..., :channels]
    pixels = pixels if channels < 4 else np.minimum(pixels, 2**bits - 1)
    cv2.imwrite(str(tmp_path / "x.png"), pixels[..., 0] if channels == 1 else pixels[..., [2, 1, 0, 3][:channels]])
    image = read_image(tmp_path / "x.png")
    assert image.shape == (8, 8, 3)
    expected = np.stack([levels, levels // 2, levels // 4] if channels > 1 else [levels] * 3, axis=-1)
    assert np.abs(image.astype(int) - expected * (255 / (2**bits - 1))).max() <= 1
    assert ("read as one of" in caplog.text) == (bits < 16)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_without_a_known_range_are_refused(tmp_path, dtype):
    Image.fromarray(np.linspace(0, 1, 64).reshape(8, 8).astype(dtype)).save(tmp_path / "x.tiff")
    with pytest.raises(InvalidImageError, match=r"x\.tiff .* 32 bits .* save it with 8 bits a channel"):
        read_image(tmp_path / "x.tiff")


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (9, 8, 7, 0)), ("P", 3), ("L", 5), ("LA", (5, 0)), ("1", 1)])
def test_other_kinds_become_rgb(tmp_path, mode, colour):
    picture = Image.new(mode, (3, 2), colour)
    picture.save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(tmp_path / "x.png"), np.array(picture.convert("RGB")))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
def test_orientation_is_followed_and_damaged_exif_is_named(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    exif[0x010E] = "description"
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (20, 10, 3)
    data = bytearray((tmp_path / "turned.jpg").read_bytes())
    at = data.index(b"description") - 8
    outcomes = set()
    for position in range(data.index(b"Exif"), at + 8):
        for value in (0, 1, 2, 7, 12, 255):
            broken = bytearray(data)
            broken[position] = value
            (tmp_path / "broken.jpg").write_bytes(broken)
            try:
                outcomes.add(read_image(tmp_path / "broken.jpg").shape[2])
            except InvalidImageError as error:
                assert "broken.jpg" in str(error)
                outcomes.add("refused")
    assert outcomes == {3, "refused"}
