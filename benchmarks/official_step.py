"""LISA's training step as the official code takes it, plainly: the yardstick for ours.

Segment Anything encodes one image at a time, anew in every step, after the GPU's cached memory is released; CLIP sees
an image once for each conversation about it; logits of all positions are made float32; all hidden states are projected,
not those of [SEG] alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.preprocess import upscale_logits
from lisa_ros.model.sam import SamFeatures
from training.data.collate import IGNORE_INDEX, Batch
from training.model.losses import image_mask_losses
from training.model.objective import full_precision

Features = list[SamFeatures]


def encode_images(network: LisaNetwork, batch: Batch) -> Features:
    """SAM's features, image by image."""
    features = []
    with torch.no_grad():
        for index in range(len(batch.sam_pixels)):
            torch.cuda.empty_cache()  # does nothing without a GPU
            features.append(network.encode_image(batch.sam_pixels[index : index + 1]))
    return features


def visual_tokens(network: LisaNetwork, batch: Batch) -> Tensor:
    """Visual tokens of every conversation, (R, N, hidden_size)."""
    with torch.no_grad():
        return network.visual_tokens(None, batch.clip_pixels[batch.image_of_row])


def hidden_states(network: LisaNetwork, batch: Batch, visual: Tensor) -> Tensor:
    """Last hidden states (R, L, hidden_size)."""
    embeddings = network.splice(batch.ids, visual).to(network.projector_dtype)
    return network.hidden_states(embeddings, attention_mask=batch.attention_mask.long())


def answer_loss(network: LisaNetwork, batch: Batch, hidden: Tensor) -> Tensor:
    """Cross-entropy with the logits of all positions."""
    logits, labels = network.logits(hidden)[:, :-1], batch.labels[:, 1:]
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX)


def mask_loss(network: LisaNetwork, batch: Batch, hidden: Tensor, features: Features) -> Tensor:
    """BCE and dice of all masks; those of an image are decoded together."""
    with full_precision(hidden.device):
        embeddings = network.model.text_hidden_fcs[0](hidden.float())
        states = embeddings[batch.states[:, 0], batch.states[:, 1]].unsqueeze(1)
        logits = []
        parts = states.split([len(masks) for masks in batch.masks])
        for feature, part, masks in zip(features, parts, batch.masks, strict=True):
            low_res = network.head.decode(feature, part)
            logits.append(upscale_logits(low_res, network.config.sam.image_size, *masks.shape[1:]))
        targets = [masks.to(hidden.device, torch.float32) for masks in batch.masks]
        return image_mask_losses(logits, targets, [None] * len(targets)).total
