"""AlphaCLIP's inputs and embeddings, and both adapters, against ELISA's official code."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from lisa_ros.errors import CheckpointError, InvalidImageError
from lisa_ros.model.elisa.adapter import make_adapter
from lisa_ros.model.elisa.alphaclip import ALPHACLIP_FILE, alpha_channel, load_alphaclip
from lisa_ros.model.preprocess import ClipPreprocessor

pytestmark = pytest.mark.unit


def close(found, expected, tolerance=1e-5):
    assert_close(torch.as_tensor(found), torch.as_tensor(expected), atol=tolerance, rtol=0)


def squashed(image: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.resize(image, (1024, 1024))


def test_parity_of_inputs_and_embeddings(golden):
    recorded, facts = golden.arrays("alphaclip"), golden.json("alphaclip")
    preprocess = ClipPreprocessor(golden.tower.image_size, golden.tower.image_size)
    for index, one in enumerate(facts["images"]):
        image, masks = squashed(golden.image(one["image"])), golden.masks(index)
        assert [int((mask > 0).sum()) for mask in masks] == one["areas"]
        pixels = preprocess(image)[0]
        alphas = torch.stack([alpha_channel(mask == 255, golden.tower.image_size)[0] for mask in masks])
        close(pixels[:, 2::17, 4::13], recorded[f"image_sub_{index}"])
        close(alphas[:, 3::13, 5::11], recorded[f"alpha_sub_{index}"])
        if index == 0:
            close(pixels[:, ::3, ::3], recorded["image_0"])
            close(alphas[0], recorded["alpha_0_0"])
        with torch.no_grad():
            raw = golden.tower(pixels.expand(len(masks), -1, -1, -1), alphas[:, None])
        close(raw, recorded[f"raw_{index}"])
        found = golden.tower.embed(image, masks)
        close(found, recorded[f"embedding_{index}"])
        close(found - torch.from_numpy(recorded["mean"]), recorded[f"minus_mean_{index}"])


def test_parity_of_soft_empty_full_and_blacked_out_masks(golden):
    recorded, tower = golden.arrays("alphaclip"), golden.tower
    preprocess = ClipPreprocessor(tower.image_size, tower.image_size)
    mask = recorded["soft_mask"]
    image = golden.image("images/img1.png")
    close(alpha_channel(mask == 255, tower.image_size)[0][::4, ::4], recorded["soft_alpha_sub"])
    close(preprocess(image)[0][:, ::7, ::7], recorded["soft_image_sub"])
    with torch.no_grad():
        raw = tower(preprocess(image), alpha_channel(mask == 255, tower.image_size)[None])[0]
    close(raw / raw.norm(), recorded["soft_embedding"])
    image, mask = squashed(golden.image("images/img0.png")), golden.masks(0)[2]
    black = image * (mask == 255)[..., None]
    close(preprocess(black)[0][:, ::7, ::7], recorded["mask_only_image_sub"])
    close(alpha_channel(mask == 255, tower.image_size)[0][::4, ::4], recorded["mask_only_alpha_sub"])
    close(tower.embed(image, [mask], masked=True)[0], recorded["mask_only_embedding"])
    empty, full = tower.embed(image, [np.zeros_like(mask), np.full_like(mask, 255)])
    close(empty, recorded["empty_mask_embedding"])
    close(full, recorded["full_mask_embedding"])
    close(alpha_channel(np.zeros_like(mask, bool), tower.image_size)[0, :1, 0], recorded["empty_mask_alpha_value"])


def test_parity_of_key_layout(golden):
    expected = golden.json("alphaclip")["state_dict"]
    assert {key: list(value.shape) for key, value in golden.tower.state_dict().items()} == expected


def test_parity_of_the_query_adapter(golden):
    recorded, facts = golden.arrays("adapter"), golden.json("adapter")["q_adapter"]
    width = len(recorded["q_out_0"][0])
    adapter = make_adapter(facts["args"], recorded["in_0"].shape[1], width, "q_adapter").eval()
    assert {key: list(value.shape) for key, value in adapter.state_dict().items()} == facts["params"]
    adapter.load_state_dict(torch.load(golden.directory / "golden" / facts["weights"], weights_only=True))
    adapter.mean = torch.from_numpy(golden.arrays("alphaclip")["mean"])
    for index in range(2):
        close(adapter(torch.from_numpy(recorded[f"in_{index}"])).detach(), recorded[f"q_out_{index}"])


def test_missing_weights_are_named_with_their_source(tmp_path):
    with pytest.raises(CheckpointError, match=rf"(?s){ALPHACLIP_FILE}.*https://.*put it there"):
        load_alphaclip(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not AlphaCLIP's visual tower"):
        load_alphaclip(tmp_path / "other.pth")


def test_a_mask_of_another_size_is_refused(golden):
    with pytest.raises(InvalidImageError, match="of the image's"):
        golden.tower.embed(np.zeros((8, 8, 3), np.uint8), [np.zeros((8, 9), bool)])


def test_no_mask_has_no_embedding(golden):
    image = np.array(Image.new("RGB", (20, 30)))
    assert golden.tower.embed(image, []).shape == (0, golden.tower.embedding_dim)


def test_holes_of_a_mask_count(golden):
    """A ring is not the disc around it."""
    image = golden.image("images/img0.png")
    ring = np.zeros(image.shape[:2], bool)
    ring[8:56, 8:56] = True
    disc = ring.copy()
    ring[20:44, 20:44] = False
    first, second = golden.tower.embed(image, [ring, disc])
    assert (first - second).abs().max() > 1e-4
