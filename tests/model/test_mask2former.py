"""Mask2Former as mask backbone: equal to transformers' own, each query by itself, saved and loaded like any LISA."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mask2former_tiny import IMAGE_SIZE, write_mask2former
from safetensors.torch import load_file, save_file
from transformers import Mask2FormerModel

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checkpoint import load
from lisa_ros.model.mask2former import Mask2FormerSegmenter, Mask2FormerSizes, read_mask2former
from lisa_ros.model.saving import save_pretrained
from training.config.sections import ModelConfig
from training.model.base import load_base
from training.proposals import open_sam

pytestmark = pytest.mark.unit


GSVA = Path(__file__).parents[1] / "golden" / "gsva_tiny"


@pytest.fixture(scope="module")
def llava_base():
    return {"source": GSVA / "llava_base", "tower": GSVA / "clip_tiny"}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return write_mask2former(tmp_path_factory.mktemp("mask2former"))


@pytest.fixture(scope="module")
def segmenter(published):
    sizes, weights = read_mask2former(published, IMAGE_SIZE)
    segmenter = Mask2FormerSegmenter(sizes).eval()
    segmenter.load_state_dict(weights)
    return segmenter


@pytest.fixture(scope="module")
def made(published, llava_base, tmp_path_factory):
    """A new LISA of a LLaVA and a Mask2Former, on disk."""
    out = tmp_path_factory.mktemp("lisa")
    names = {"vision_tower": str(llava_base["tower"]), "mask2former": str(published)}
    config = ModelConfig(str(llava_base["source"]), **names, mask2former_size=IMAGE_SIZE)
    base = load_base(config, out / "tokenizer", torch.float32, 0)
    save_pretrained(base.network, base.directory, out / "checkpoint")
    return base, out / "checkpoint"


@torch.no_grad()
def test_its_own_query_gives_its_own_mask(published, segmenter):
    whole = Mask2FormerModel.from_pretrained(published).eval()
    pixels = torch.randn(2, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(1))
    module = whole.transformer_module
    for name in ("queries_features", "queries_embedder"):  # all alike: then none tells another anything
        weight = getattr(module, name).weight
        weight.copy_(weight.mean(dim=0, keepdim=True).expand_as(weight))
    expected = whole(pixels).masks_queries_logits[-1]
    features = segmenter.encode(pixels)
    found = segmenter.decode(features, module.queries_features.weight[:1].expand(2, -1)[:, None])
    assert torch.allclose(found[:, 0], expected[:, 0], atol=1e-4) and expected.std() > 1e-3


@torch.no_grad()
def test_each_query_is_decoded_by_itself(segmenter):
    features = segmenter.encode(torch.randn(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    queries = torch.randn(3, 1, 32)
    together = segmenter.decode(features, queries)
    alone = torch.cat([segmenter.decode(features, one[None]) for one in queries])
    assert together.shape == (3, 1, IMAGE_SIZE // 4, IMAGE_SIZE // 4)
    assert torch.allclose(together, alone, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_a_query_learns_through_the_decoder(segmenter):
    with torch.no_grad():
        features = segmenter.encode(torch.randn(1, 3, IMAGE_SIZE, IMAGE_SIZE))
    query = torch.randn(1, 1, 32, requires_grad=True)
    segmenter.decode(features, query).sum().backward()
    assert query.grad.abs().sum() > 0


def test_saved_and_loaded_it_answers_the_same(made, published):
    base, directory = made
    values = json.loads((directory / "config.json").read_text())
    assert values["sam"] is None and values["mask2former"]["image_size"] == IMAGE_SIZE and values["out_dim"] == 32
    tower = base.network.config.vision_tower
    loaded = load(directory, vision_tower=tower)
    before, after = base.network.state_dict(), loaded.network.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    lisa = Lisa.from_pretrained(directory, vision_tower=tower, device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    frame = lisa.encode(image)
    one, two = lisa.segment_many(frame, ["the mug", "the red plate"])
    assert one.targets[0].mask.shape == (48, 80) and one.targets[0].logits.std() > 0
    assert np.allclose(one.targets[0].logits, lisa.segment(frame, "the mug").targets[0].logits, atol=1e-4)
    assert not np.array_equal(one.targets[0].logits, two.targets[0].logits)
    buffers = [one for _, one in loaded.network.named_buffers()]
    assert not any(buffer.is_meta for buffer in buffers)


def test_the_base_keeps_the_published_weights(made, published):
    _, weights = read_mask2former(published, IMAGE_SIZE)
    state = made[0].network.state_dict()
    assert all(torch.equal(state[f"model.visual_model.{key}"], value) for key, value in weights.items())


def test_wrong_files_are_named(published, tmp_path):
    with pytest.raises(CheckpointError, match="is no directory"):
        read_mask2former(tmp_path / "absent", IMAGE_SIZE)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(CheckpointError, match="is a 'sam', not a mask2former"):
        read_mask2former(other, IMAGE_SIZE)
    damaged = tmp_path / "damaged"
    shutil.copytree(published, damaged)
    weights = load_file(damaged / "model.safetensors")
    weights.pop(next(key for key in weights if "level_embed" in key))
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, .*level_embed among them"):
        read_mask2former(damaged, IMAGE_SIZE)
    with pytest.raises(ConfigurationError, match="image_size 100 is not a multiple of 32"):
        read_mask2former(published, 100)


def test_what_needs_segment_anything_says_so(made, published, segmenter, tmp_path):
    _, directory = made
    with pytest.raises((ConfigurationError, CheckpointError), match="style cores needs Segment Anything"):
        replace(made[0].network.config, style="cores", mask_query=None)
    with pytest.raises(ConfigurationError, match="takes no coarse mask"):
        segmenter.decode(segmenter.encode(torch.randn(1, 3, 64, 64)), torch.randn(1, 1, 32), torch.zeros(1, 1, 16, 16))
    named = tmp_path / "named"
    shutil.copytree(directory, named)
    values = json.loads((named / "config.json").read_text())
    (named / "config.json").write_text(json.dumps(values | {"vision_tower": made[0].network.config.vision_tower}))
    with pytest.raises(ConfigurationError, match="is a LISA with Mask2Former; proposals need Segment Anything"):
        open_sam(str(named), torch.device("cpu"))
    with pytest.raises(CheckpointError, match="Segment Anything's sizes mean nothing"):
        load(directory, sam={"decoder_heads": 8}, vision_tower=made[0].network.config.vision_tower)
    with pytest.raises(ConfigurationError, match=r"mask2former is .*; it must be a table"):
        Mask2FormerSizes.from_dict([1])
    copied = tmp_path / "copied"
    shutil.copytree(directory, copied)
    values = json.loads((copied / "config.json").read_text())
    values["mask2former"]["model"]["mask_feature_size"] = 16
    (copied / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="mask_feature_size 16 must be hidden_dim 32"):
        load(copied, vision_tower=made[0].network.config.vision_tower)


def test_a_base_has_one_of_both(published, llava_base, tmp_path):
    config = ModelConfig(str(llava_base["source"]), str(llava_base["tower"]))
    with pytest.raises(ConfigurationError, match=r"give either model.sam_checkpoint, .* or model.mask2former"):
        load_base(config, tmp_path, torch.float32, 0)
    lisa = ModelConfig("tabletop", mask2former=str(published))
    with pytest.raises(ConfigurationError, match=r"model.mask2former .* keeps its own"):
        load_base(lisa, tmp_path, torch.float32, 0)
