"""Video models of transformers with few random weights, saved as published ones are."""

import torch
from transformers import (
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    EdgeTamVisionConfig,
    Sam3Config,
    Sam3TrackerVideoConfig,
    Sam3TrackerVideoModel,
    Sam3VideoConfig,
    Sam3VideoModel,
    Sam3VisionConfig,
    TimmWrapperConfig,
)

_DECODER = {"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
_PROMPT = {"hidden_size": 128, "mask_input_channels": 4}
_MEMORY = {
    "memory_attention_hidden_size": 128,
    "memory_attention_num_layers": 1,
    "memory_encoder_hidden_size": 128,
    "memory_encoder_output_channels": 64,
    "mask_downsampler_embed_dim": 128,
    "memory_fuser_embed_dim": 128,
    "memory_fuser_intermediate_dim": 32,
    "num_maskmem": 3,
    "max_object_pointers_in_encoder": 4,
}


def edgetam(seed=0):
    """EdgeTAM for images of 128 px."""
    torch.manual_seed(seed)
    backbone = TimmWrapperConfig(
        architecture="repvit_m0_9",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    )
    vision = EdgeTamVisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[384, 192, 96, 48],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=128,
    )
    config = EdgeTamVideoConfig(
        vision_config=vision,
        prompt_encoder_config=_PROMPT | {"image_size": 128},
        mask_decoder_config=_DECODER,
        image_size=128,
        memory_attention_mlp_hidden_size=32,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_attention_rope_k_sizes=[4, 4],
        perceiver_resampler_num_latents=16,
        perceiver_resampler_num_latents_2d=16,
        perceiver_resampler_hidden_size=64,
        perceiver_resampler_mlp_intermediate_size=16,
        perceiver_resampler_attention_head_dim=64,
        perceiver_resampler_num_layers=1,
        **_MEMORY,
    )
    return _sure(EdgeTamVideoModel(config))


def sam3_tracker(seed=0):
    """SAM 3's tracker for images of 112 px."""
    torch.manual_seed(seed)
    vision = Sam3VisionConfig(
        backbone_config={
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 112,
            "pretrain_image_size": 56,
            "window_size": 4,
            "global_attn_indexes": [1],
        },
        fpn_hidden_size=128,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )
    config = Sam3TrackerVideoConfig(
        vision_config=vision,
        prompt_encoder_config=_PROMPT,
        mask_decoder_config=_DECODER,
        memory_attention_feed_forward_hidden_size=32,
        image_size=112,
        **_MEMORY,
    )
    return _sure(Sam3TrackerVideoModel(config))


def sam3_video(seed=0):
    """All of SAM 3 with detector and tracker, as it is published."""
    tracker = sam3_tracker(seed).config
    small = {"hidden_size": 128, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = {"model_type": "clip_text_model", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "projection_dim": 32, "vocab_size": 60, "max_position_embeddings": 8,
            "bos_token_id": 0, "eos_token_id": 1}  # fmt: skip
    detector = Sam3Config(
        vision_config=tracker.vision_config.to_dict(),
        text_config=text,
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config=small | {"num_queries": 4},
        mask_decoder_config={"hidden_size": 128, "num_attention_heads": 2},
    )
    return Sam3VideoModel(Sam3VideoConfig(detector_config=detector.to_dict(), tracker_config=tracker.to_dict()))


def _sure(network):
    """Random weights that find the target visible: otherwise its mask is empty, whatever they compute."""
    with torch.no_grad():
        network.mask_decoder.pred_obj_score_head.proj_out.bias += 4.0
    return network.eval()


MODELS = {"edgetam": edgetam, "sam3_tracker": sam3_tracker}
