"""Segment Anything's encoder against Meta's own forward pass on the same weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.modeling import ImageEncoderViT

from lisa_ros.model import sam_encoder
from lisa_ros.model.sam import SegmentAnything
from lisa_ros.model.sam_config import SamConfig
from lisa_ros.model.sam_encoder import window_order

pytestmark = pytest.mark.unit


def encoder(grid, window, *, dtype=torch.float32, heads=2, depth=3, seed=0):
    """Random weights, the relative positions among them, which start at zero."""
    torch.manual_seed(seed)
    sizes = {"image_size": 16 * grid, "embed_dim": 32, "depth": depth, "num_heads": heads, "prompt_embed_dim": 32}
    config = SamConfig(**sizes, window_size=window, global_attn_indexes=(1,), decoder_heads=2, decoder_mlp_dim=32)
    made = SegmentAnything(config).image_encoder
    for name, parameter in made.named_parameters():
        if "rel_pos" in name or "pos_embed" in name or name.endswith("qkv.bias"):
            torch.nn.init.normal_(parameter, std=0.5)
    return made.to(dtype)


def both(made, images):
    with torch.inference_mode():
        return made(images), ImageEncoderViT.forward(made, images)


@pytest.mark.parametrize(
    ("grid", "window"),
    [(8, 4), (10, 4), (5, 7), (9, 0), (16, 14)],
    ids=["whole windows", "cut windows", "a window larger than the image", "no windows", "of SAM"],
)
@pytest.mark.parametrize("scores", [1, 700, 1 << 20])
def test_results_are_those_of_the_package(grid, window, scores, monkeypatch):
    """Whatever the pieces in which a CPU attends."""
    monkeypatch.setattr(sam_encoder, "_SCORES_AT_ONCE", scores)
    computed, expected = both(encoder(grid, window), torch.randn(2, 3, 16 * grid, 16 * grid))
    torch.testing.assert_close(computed, expected, atol=2e-5, rtol=0)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(0, 14), st.integers(1, 3), st.integers(0, 99))
def test_any_size(grid, window, batch, seed):
    images = torch.randn(batch, 3, 16 * grid, 16 * grid, generator=torch.Generator().manual_seed(seed))
    computed, expected = both(encoder(grid, window, seed=seed), images)
    torch.testing.assert_close(computed, expected, atol=2e-5, rtol=0)


def test_fused_attention_of_a_gpu_computes_the_same(monkeypatch):
    made, images = encoder(10, 4), torch.randn(2, 3, 160, 160)
    monkeypatch.setattr(sam_encoder, "_attend_in_pieces", sam_encoder._attend_fused)
    torch.testing.assert_close(*both(made, images), atol=2e-5, rtol=0)


def test_gradients_are_those_of_the_package():
    """The small model trains its encoder."""
    made, images = encoder(6, 4, depth=2), torch.randn(1, 3, 96, 96)
    gradients = []
    for forward in (made.forward, lambda x: ImageEncoderViT.forward(made, x)):
        made.zero_grad()
        forward(images).square().mean().backward()
        gradients.append({name: parameter.grad.clone() for name, parameter in made.named_parameters()})
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_coarse_formats_are_as_near_to_float32_as_the_package(dtype):
    images = torch.randn(1, 3, 160, 160)
    _, exact = both(encoder(10, 4), images)
    computed, package = (one.float() for one in both(encoder(10, 4, dtype=dtype), images.to(dtype)))
    assert (computed - exact).abs().mean() <= 1.2 * (package - exact).abs().mean()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 15))
def test_every_token_has_one_place(height, width, size):
    order, groups = window_order(height, width, size, torch.device("cpu"))
    assert sorted(order.tolist()) == list(range(height * width))
    assert sum(group.count * group.height * group.width for group in groups) == height * width


def test_tokens_of_a_window_stand_together():
    order, groups = window_order(5, 4, 3, torch.device("cpu"))
    assert [tuple(group[:3]) for group in groups] == [(1, 3, 3), (1, 3, 1), (1, 2, 3), (1, 2, 1)]
    assert order.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10, 3, 7, 11, 12, 13, 14, 16, 17, 18, 15, 19]
