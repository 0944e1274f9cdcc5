"""Preprocessing, equal to that of the official code."""

import hashlib
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.errors import CheckpointError, InvalidImageError
from lisa_ros.model.preprocess import (
    ClipPreprocessor,
    check_image,
    sam_preprocess,
    sam_resized_size,
    upscale_logits,
)

pytestmark = pytest.mark.unit


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def test_sam_input(variant):
    size = variant.meta["sam"]["image_size"]
    for index, expected in enumerate(variant.json("preprocess")):
        image = variant.image(index)
        assert sha256(image) == expected["sha256_rgb_uint8"]
        pixels = sam_preprocess(image, size).numpy()
        assert list(sam_resized_size(*image.shape[:2], size)) == expected["resize_hw"]
        np.testing.assert_array_equal(
            pixels[:, :, 5::37, 3::41], variant.arrays("preprocess")[f"sam_input_sub_{index}"]
        )
        assert sha256(pixels) == expected["sha256_sam_input_f32"]


def test_clip_input(variant):
    preprocess = ClipPreprocessor.from_directory(variant.directory / "clip_tiny", variant.meta["clip"]["image_size"])
    for index in range(variant.images):
        expected = variant.arrays("preprocess")[f"clip_pixel_values_{index}"]
        np.testing.assert_allclose(preprocess(variant.image(index)).numpy(), expected, rtol=0, atol=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(16, 70))
def test_shapes_of_any_image(height, width, size):
    image = np.zeros((height, width, 3), np.uint8)
    assert sam_preprocess(image, size).shape == (1, 3, size, size)
    assert ClipPreprocessor(size, size)(image).shape == (1, 3, size, size)
    assert upscale_logits(torch.zeros(2, 1, 8, 8), size, height, width).shape == (2, height, width)


def test_padding_is_zero_after_normalising():
    pixels = sam_preprocess(np.full((10, 20, 3), 255, np.uint8), 40)
    assert (pixels[:, :, :20] > 2).all() and (pixels[:, :, 20:] == 0).all()


def test_no_masks():
    assert upscale_logits(torch.zeros(0, 1, 8, 8), 32, 5, 7).shape == (0, 5, 7)


def test_without_preprocessor_file(tmp_path):
    assert ClipPreprocessor.from_directory(tmp_path, 336) == ClipPreprocessor(336, 336)


@pytest.mark.parametrize(
    "values",
    [
        *({"crop_size": 224, "size": 224}, {"size": {"height": 1}}, []),
        *({"size": {"shortest_edge": "336"}}, {"size": {"shortest_edge": 336.5}}, {"crop_size": {"height": "336"}}),
        *({"image_mean": [0.5, 0.5]}, {"image_mean": 0.5}, {"image_mean": None}, {"image_mean": ["a", "b", "c"]}),
        *({"image_std": [0.5, 0.5, 0]}, {"image_std": [1, 1, float("nan")]}),
    ],
)
def test_preprocessor_file_of_another_tower(tmp_path, values):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="preprocessor_config"):
        ClipPreprocessor.from_directory(tmp_path, 336)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 1000, 3), np.uint8),
        "image.png",
    ],
)
def test_refused_images(image):
    with pytest.raises(InvalidImageError):
        check_image(image)
