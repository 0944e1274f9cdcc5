"""A query as the official code answers it, plainly: the yardstick for ours.

For each new token CLIP sees the image again and the language model the whole sequence, without a cache; logits of all
positions and the states of all layers are made. Segment Anything comes last, by the forward passes of Meta's package.
CLIP's last layer, which official code computes and does not use, is left out.
"""

import numpy as np
import torch
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor

from lisa_ros.inference.engine import Lisa
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.preprocess import sam_preprocess, upscale_logits


@torch.inference_mode()
def answer(lisa: Lisa, image: np.ndarray, ids: list[int], count: int) -> tuple[list[int], np.ndarray]:
    """Generates `count` tokens after expanded `ids`.

    Returns:
        The tokens, and (n, H, W) float32 mask logits of the [SEG] among them.
    """
    tokens, hidden = generate(lisa, image, ids, count)
    seg = [position for position, token in enumerate(tokens) if token == lisa.tokenizer.seg_id]
    return tokens, masks(lisa, image, hidden, [len(ids) + position - 1 for position in seg])


@torch.inference_mode()
def generate(lisa: Lisa, image: np.ndarray, ids: list[int], count: int) -> tuple[list[int], Tensor]:
    """The language part: the tokens, and the last hidden states (1, L, hidden_size) of the whole sequence."""
    network, ids = lisa.network, list(ids)
    start = len(ids)
    pixels = network.vision_tower.preprocess(image).to(lisa.device)
    for _ in range(count):
        visual = network.visual_tokens(None, pixels)
        embeddings = network.splice(torch.tensor([ids], device=lisa.device), visual)
        output = network.model(inputs_embeds=embeddings, use_cache=False, output_hidden_states=True)
        logits = network.logits(output.last_hidden_state)
        ids.append(int(logits[0, -1].argmax()))
    return ids[start:], output.hidden_states[-1]


def masks(lisa: Lisa, image: np.ndarray, hidden: Tensor, positions: list[int]) -> np.ndarray:
    """(n, H, W) float32 logits of the masks that the states at `positions` prompt; all states are projected."""
    network = lisa.network
    pixels = sam_preprocess(image, network.config.sam.image_size).to(lisa.device)
    embedding = encode_image(network, pixels).float()
    prompts = network.model.text_hidden_fcs[0](hidden.float())[0, positions].unsqueeze(1)
    encoder, decoder = network.sam.prompt_encoder, network.sam.mask_decoder
    _, dense = encoder(points=None, boxes=None, masks=None)
    low_res, _ = decoder(embedding, network.sam.dense_position().float(), prompts, dense, multimask_output=False)
    return upscale_logits(low_res, network.config.sam.image_size, *image.shape[:2]).cpu().numpy()


def encode_image(network: LisaNetwork, pixels: Tensor) -> Tensor:
    """Segment Anything's embedding of preprocessed images (B, 3, S, S)."""
    encoder = network.sam.image_encoder
    return forward(encoder, pixels.to(encoder.pos_embed.dtype))


def forward(encoder: ImageEncoderViT, pixels: Tensor) -> Tensor:
    """The package's own forward pass on the weights of ours."""
    return ImageEncoderViT.forward(encoder, pixels)
