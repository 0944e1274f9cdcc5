"""A tiny Mask2Former in transformers' layout, with random weights."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Mask2FormerConfig, Mask2FormerModel, SwinConfig

IMAGE_SIZE = 64


def write_mask2former(directory: Path) -> Path:
    """Writes config.json and model.safetensors as published ones are; returns the directory."""
    backbone = SwinConfig(
        image_size=IMAGE_SIZE, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=backbone, hidden_dim=32, feature_size=32, mask_feature_size=32, encoder_layers=1,
        decoder_layers=4, num_attention_heads=4, dim_feedforward=32, encoder_feedforward_dim=32, num_queries=5,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Mask2FormerModel(config)
    config.save_pretrained(directory)
    weights = {f"model.{key}": value.contiguous() for key, value in model.state_dict().items()}
    weights["class_predictor.weight"] = torch.zeros(134, 32)  # of classes, which nothing here reads
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory
