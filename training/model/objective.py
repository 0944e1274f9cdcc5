"""LISA's training objective around the one network: a batch in, its losses out."""

from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.preprocess import upscale_logits
from lisa_ros.model.sam import SamFeatures
from training.data.collate import IGNORE_INDEX, TEXT_ONLY, Batch
from training.data.feature_cache import FeatureCache, rounded
from training.model.losses import answer_loss, image_mask_losses


class Losses(NamedTuple):
    """Scalars of one batch, weights included. loss = ce + bce + dice."""

    loss: Tensor
    ce: Tensor
    bce: Tensor
    dice: Tensor


class LisaObjective(nn.Module):
    """Forward pass and losses of a LisaNetwork; this is the module that data parallelism wraps.

    Frozen parts (image encoders, as a rule) run without gradients and in eval mode. What a batch without masks or
    images does not reach gets a gradient of zero, so that processes with different batches agree about which
    gradients there are. cache: where SAM's features of a batch with image keys are kept.
    """

    def __init__(self, network: LisaNetwork, cache: FeatureCache | None = None) -> None:
        super().__init__()
        self.network, self.cache = network, cache

    def train(self, mode: bool = True) -> "LisaObjective":
        """Frozen parts stay in eval mode: their batch statistics are not to move."""
        super().train(mode)
        for part in (self.network.sam.image_encoder, self.network.vision_tower):
            if part is not None and not _is_trained(part):
                part.eval()
        return self

    def forward(self, batch: Batch, predict: bool = False) -> Losses | list[Tensor]:
        """LISA's losses of one batch; with `predict` instead its mask logits, (n_i, H, W) for each image."""
        hidden, features = self.read(batch)
        if predict:
            return self.mask_logits(batch, hidden, features)
        learnt = batch.labels[:, 1:] != IGNORE_INDEX
        ce = answer_loss(self.network.logits(hidden[:, :-1][learnt]), batch.labels[:, 1:][learnt])
        logits = self.mask_logits(batch, hidden, features)
        device = hidden.device
        with full_precision(device):
            targets = [masks.to(device, torch.float32) for masks in batch.masks]
            masked = image_mask_losses(logits, targets, list(batch.valid)) if logits else _no_masks(device)
        return Losses(ce + masked.bce + masked.dice, ce.detach(), masked.bce.detach(), masked.dice.detach())

    def read(self, batch: Batch) -> tuple[Tensor, SamFeatures | None]:
        """Last hidden states (R, L, hidden_size) of all rows, and the images' SAM features."""
        network, anchor = self.network, self.anchor()  # made first, so that its gradients come last
        features = self.encode(batch)
        shown = batch.image_of_row[batch.image_of_row != TEXT_ONLY]
        if len(shown):
            with torch.set_grad_enabled(torch.is_grad_enabled() and self._sees_with_gradient()):
                visual = network.visual_tokens(features, batch.clip_pixels)
            embeddings = network.splice(batch.ids, visual[shown])
        else:
            embeddings = network.embed(batch.ids)
        embeddings = (embeddings + anchor).to(network.projector_dtype)
        return network.hidden_states(embeddings, attention_mask=batch.attention_mask.long()), features

    def encode(self, batch: Batch) -> SamFeatures | None:
        """SAM's features of the batch's images: from the cache, else computed; None without images."""
        if batch.features is not None or batch.sam_pixels is None:
            return batch.features
        with torch.set_grad_enabled(torch.is_grad_enabled() and _is_trained(self.network.sam.image_encoder)):
            features = self.network.encode_image(batch.sam_pixels)
        if self.cache is None or not batch.image_keys:
            return features
        self.cache.put(batch.image_keys, features)
        return rounded(features)

    def mask_logits(self, batch: Batch, hidden: Tensor, features: SamFeatures | None) -> list[Tensor]:
        """For each image (n_i, H, W) float32 mask logits at its own size."""
        states = hidden[batch.states[:, 0], batch.states[:, 1]]
        size, head, out = self.network.config.sam.image_size, self.network.head, []
        with full_precision(hidden.device):
            embeddings = head.embed(states)
            for index, part in enumerate(embeddings.split([len(kinds) for kinds in batch.kinds])):
                height, width = batch.masks[index].shape[1:]
                one = features.select(slice(index, index + 1))
                low_res = head.decode_targets(one, part, batch.kinds[index]).logits
                out.append(upscale_logits(low_res, size, height, width))
        return out

    def anchor(self) -> Tensor | float:
        """Zero, with a gradient of zero for what learns and a batch without masks or without images does not reach.

        Added to the language model's input it makes these gradients the last ones, in an order that does not depend on
        the batch: DeepSpeed's ZeRO-2 adds up what processes send in the order of its coming, whatever it belongs to.
        """
        network = self.network
        parts = [network.sam, network.model.text_hidden_fcs, network.model.mm_projector, network.vision_tower]
        trained = [p for part in parts if part is not None for p in part.parameters() if p.requires_grad]
        return sum(p.sum() for p in trained) * 0.0

    def _sees_with_gradient(self) -> bool:
        network = self.network
        parts = [network.model.mm_projector, network.vision_tower or network.sam.image_encoder]
        return any(_is_trained(part) for part in parts)


def _no_masks(device: torch.device):
    return image_mask_losses([torch.zeros((0, 1, 1), device=device)], [torch.zeros((0, 1, 1), device=device)], [None])


def _is_trained(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())


@contextmanager
def full_precision(device: torch.device):
    """Without autocast: masks are decoded and losses summed in float32, as the engine decodes them."""
    with torch.autocast(device.type, enabled=False):
        yield
