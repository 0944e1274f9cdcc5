"""The Grounded-SAM baseline, with tiny checkpoints of random weights in transformers' layout."""

from types import SimpleNamespace

import numpy as np
import pytest

from lisa_ros.errors import CheckpointError
from lisa_ros.evaluation.scans import grounded_sam
from lisa_ros.evaluation.scans.grounded_sam import GroundedSam

pytestmark = pytest.mark.unit

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", "red", "mug", "?"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    import torch
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SamConfig,
        SamImageProcessor,
        SamMaskDecoderConfig,
        SamModel,
        SamProcessor,
        SamPromptEncoderConfig,
        SamVisionConfig,
        SwinConfig,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("grounded_sam")
    dino, sam = folder / "dino", folder / "sam"
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    backbone = SwinConfig(
        image_size=64, embed_dim=12, depths=[1, 1, 1, 1], num_heads=[1, 2, 3, 4], window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=256,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=6,
        max_text_len=256,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(dino)
    tokenizer = BertTokenizer(str(folder / "vocab.txt"))
    size = {"shortest_edge": 64, "longest_edge": 96}
    GroundingDinoProcessor(GroundingDinoImageProcessor(size=size), tokenizer).save_pretrained(dino)
    vision = SamVisionConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=64, patch_size=16, output_channels=16,
        mlp_dim=16, global_attn_indexes=[0], window_size=2, num_pos_feats=8,
    )  # fmt: skip
    prompts = SamPromptEncoderConfig(hidden_size=16, image_size=64, patch_size=16, mask_input_channels=4)
    decoder = SamMaskDecoderConfig(hidden_size=16, mlp_dim=16, num_attention_heads=2, iou_head_hidden_dim=16)
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    SamModel(config).save_pretrained(sam)
    SamProcessor(SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})).save_pretrained(
        sam
    )
    return str(dino), str(sam)


def ask(baseline, text="The red mug?"):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    return baseline(SimpleNamespace(query=SimpleNamespace(text=text)), image)


def test_boxes_become_one_mask_of_the_images_size(checkpoints, monkeypatch):
    monkeypatch.setattr(grounded_sam, "_BOX_THRESHOLD", 0.0)
    mask = ask(GroundedSam(*checkpoints, device="cpu"))
    assert mask.shape == (60, 80) and mask.dtype == bool


def test_no_box_is_no_mask(checkpoints, monkeypatch):
    monkeypatch.setattr(grounded_sam, "_BOX_THRESHOLD", 1.0)
    assert ask(GroundedSam(*checkpoints, device="cpu")) is None


def test_what_is_no_checkpoint_is_named(checkpoints, tmp_path):
    with pytest.raises(CheckpointError, match="Grounded-SAM cannot be loaded"):
        GroundedSam(str(tmp_path), checkpoints[1], device="cpu")
