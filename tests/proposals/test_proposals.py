"""Proposals: Segment Anything's generator on our network, run lengths, sorting, copies, the oracle's pool."""

import hashlib

import numpy as np
import pytest
import torch
from golden_variants import LlmSegVariant, find_golden
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lisa_ros.errors import ConfigurationError
from lisa_ros.geometry.proposals import Proposals, mask_iou
from lisa_ros.geometry.run_lengths import compressed, run_length_mask, run_lengths
from lisa_ros.model.preprocess import sam_preprocess
from lisa_ros.model.proposals import CandidateProvider, ProposalOptions
from lisa_ros.model.sam import SegmentAnything
from lisa_ros.model.sam_config import SamConfig

pytestmark = pytest.mark.unit
VARIANTS = [LlmSegVariant(directory) for directory in find_golden("llmseg")]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: one.directory.name)
@pytest.mark.parametrize("setting", ["default", "relaxed"])
def test_parity_of_generated_proposals(variant, setting):
    golden = variant.json("proposals_amg")[setting]
    options = ProposalOptions(**golden["params"], long_side=variant.meta["proposals"]["long_side"])
    image = variant.image(golden["image"])
    assert hashlib.sha256(options.scaled(image).tobytes()).hexdigest() == golden["sha256_resized_uint8"]
    found = CandidateProvider(variant.sam, options).generate(image)
    assert [found.height, found.width] == golden["target_size"]
    assert len(found) == golden["n"] == len(golden["masks"])
    expected = {one["segmentation"]["counts"]: one for one in golden["masks"]}
    assert {item.counts for item in found.items} == expected.keys()
    for item in found.items:
        one = expected[item.counts]
        assert (item.area, list(item.box)) == (one["area"], one["bbox"])
        assert item.predicted_iou == pytest.approx(one["predicted_iou"], abs=1e-4)
        assert item.stability == pytest.approx(one["stability_score"], abs=1e-6)
        assert [list(item.point)] == one["point_coords"] and list(item.crop_box) == one["crop_box"]


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(3)
    sizes = {"embed_dim": 24, "depth": 1, "num_heads": 2, "global_attn_indexes": (0,), "window_size": 4}
    decoder = {"prompt_embed_dim": 16, "decoder_mlp_dim": 16, "decoder_heads": 2, "iou_head_hidden_dim": 16}
    return SegmentAnything(SamConfig(image_size=64, **sizes, **decoder)).eval()


LOOSE = ProposalOptions(points_per_side=4, pred_iou_thresh=-9.0, stability_score_thresh=0.0, box_nms_thresh=0.99)


def test_features_of_the_frame_serve(sam):
    """With features nothing is encoded again, and the masks are those of the generator's own encoding."""
    image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    provider = CandidateProvider(sam, LOOSE)
    expected = provider.generate(image)
    with torch.no_grad():
        features = sam.encode(sam_preprocess(image, 64))
    calls = []
    hook = sam.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    assert provider.generate(image, features) == expected and len(expected)
    assert not calls
    hook.remove()


def test_points_of_a_batch_change_nothing(sam):
    image = np.random.default_rng(2).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    one = CandidateProvider(sam, LOOSE).generate(image)
    few = {**vars(LOOSE), "points_per_batch": 3}
    assert {item.counts for item in CandidateProvider(sam, ProposalOptions(**few)).generate(image).items} == {
        item.counts for item in one.items
    }


def test_an_image_in_which_nothing_is_found(sam):
    strict = ProposalOptions(points_per_side=2, pred_iou_thresh=9.0)
    found = CandidateProvider(sam, strict).propose(np.zeros((30, 50, 3), np.uint8))
    assert len(found) == 0 and found.masks.shape == (0, 30, 50)


def test_sizes():
    options = ProposalOptions(long_side=128)
    assert options.size_of(97, 160) == (77, 128) and options.size_of(64, 96) == (64, 96)
    assert ProposalOptions(long_side=128, square=True).size_of(97, 160) == (128, 128)
    with pytest.raises(ConfigurationError, match="points_per_side is 0"):
        ProposalOptions(points_per_side=0)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_run_lengths_round_trip(mask):
    counts = run_lengths(mask)
    size = list(mask.shape)
    for form in (counts, compressed(counts)):
        assert (run_length_mask({"size": size, "counts": form}, *size) == mask).all()


@given(st.lists(arrays(bool, (5, 6)), max_size=6), st.integers(1, 7))
def test_the_largest_first(masks, count):
    found = Proposals.from_masks(masks, 5, 6).largest(count)
    areas = [int(mask.sum()) for mask in masks]
    order = sorted(range(len(masks)), key=lambda i: -areas[i])[:count]
    assert [item.area for item in found.items] == [areas[i] for i in order]
    assert all((found.masks[place] == masks[i]).all() for place, i in enumerate(order))


def test_copies_of_the_truth_are_dropped():
    mask = np.zeros((20, 20), bool)
    mask[2:18, 2:18] = True
    nearly, other = mask.copy(), mask.copy()
    nearly[2, 2], other[2:10] = False, False
    found = Proposals.from_masks([mask, nearly, other], 20, 20).without_copies([mask])
    assert found.masks.shape[0] == 1 and (found.masks[0] == other).all()
    assert mask_iou(mask, nearly) > 0.95 and mask_iou(~mask & mask, ~mask & mask) == 0


@given(arrays(bool, (2, 7, 9)), st.integers(1, 40), st.integers(1, 40))
def test_a_union_at_another_size_is_torchs_nearest(masks, height, width):
    found = Proposals.from_masks(masks, 7, 9)
    expected = torch.from_numpy(masks.any(axis=0)).float()[None, None]
    expected = torch.nn.functional.interpolate(expected, (height, width), mode="nearest")[0, 0].numpy() > 0
    assert (found.union_at([0, 1], height, width) == expected).all()
    assert not found.union_at([], height, width).any()
