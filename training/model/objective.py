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
from training.model.losses import MaskLosses, answer_loss, image_mask_losses


class Losses(NamedTuple):
    """Losses of one batch, weights included; scalars.

    Attributes:
        loss: ce + bce + dice.
        ce: Cross-entropy of the answers.
        bce: Binary cross-entropy of the masks.
        dice: Dice loss of the masks.
    """

    loss: Tensor
    ce: Tensor
    bce: Tensor
    dice: Tensor


class LisaObjective(nn.Module):
    """Forward pass and losses of a LisaNetwork; this is the module that data parallelism wraps.

    Frozen parts (usually the image encoders) run without gradients and in eval mode. Parameters that a batch without
    masks or images does not reach get a gradient of zero, so that processes with different batches have the same set of
    gradients.

    Args:
        network: The network.
        cache: Stores SAM's features of batches with image keys; None for no cache.
        coarse_weight: Weight of the loss of coarse masks, see TrainConfig.

    Attributes:
        loss_names: Of the losses in the log.
    """

    loss_names = ("loss", "ce", "mask_bce", "mask_dice")

    def __init__(self, network: LisaNetwork, cache: FeatureCache | None = None, coarse_weight: float = 0.0) -> None:
        super().__init__()
        self.network, self.cache, self.coarse_weight = network, cache, coarse_weight

    def train(self, mode: bool = True) -> "LisaObjective":
        """Frozen parts stay in eval mode: their batch statistics are not to move."""
        super().train(mode)
        for part in (self.network.sam.image_encoder, self.network.vision_tower):
            if part is not None and not _is_trained(part):
                part.eval()
        return self

    def forward(self, batch: Batch, predict: bool = False) -> Losses | list[Tensor]:
        """The losses of one batch, or its predictions.

        Args:
            batch: The batch, on the device of the network.
            predict: Return mask logits in place of losses.

        Returns:
            The losses; with `predict` for each image (n_i, H, W) float32 mask logits.
        """
        hidden, features = self.read(batch)
        if predict:
            return [logits for logits, _ in self.masks(batch, hidden, features)]
        learnt = batch.labels[:, 1:] != IGNORE_INDEX
        ce = answer_loss(self.network.logits(hidden[:, :-1][learnt]), batch.labels[:, 1:][learnt])
        masks = self.masks(batch, hidden, features)
        device = hidden.device
        with full_precision(device):
            targets = [one.to(device, torch.float32) for one in batch.masks]
            fine = [logits for logits, _ in masks]
            masked = image_mask_losses(fine, targets, list(batch.valid)) if masks else _no_masks(device)
            if self.coarse_weight:
                masked = _plus(masked, self._coarse_losses(masks, targets, list(batch.valid)), self.coarse_weight)
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

    @staticmethod
    def _coarse_losses(
        masks: list[tuple[Tensor, Tensor | None]], targets: list[Tensor], valid: list[Tensor | None]
    ) -> MaskLosses:
        """Of the coarse masks of those targets that have one, against the targets' own masks."""
        found = [
            (coarse[has], target[has], counted)
            for (_, coarse), target, counted in zip(masks, targets, valid, strict=True)
            if coarse is not None
            for has in [coarse.flatten(1).any(1)]
        ]
        if not found:
            return MaskLosses(torch.zeros(()), torch.zeros(()))
        return image_mask_losses(*map(list, zip(*found, strict=True)))

    def masks(self, batch: Batch, hidden: Tensor, features: SamFeatures | None) -> list[tuple[Tensor, Tensor | None]]:
        """Mask logits of the targets of each image at its own size, and those of their coarse masks.

        Returns:
            For each image (n_i, H, W) float32, zeros where a target has no coarse mask, None in place of them all.
        """
        states = hidden[batch.states[:, 0], batch.states[:, 1]]
        size, head, out = self.network.config.sam.image_size, self.network.head, []
        with full_precision(hidden.device):
            embeddings = head.embed(states)
            for index, part in enumerate(embeddings.split([len(kinds) for kinds in batch.kinds])):
                height, width = batch.masks[index].shape[1:]
                one = features.select(slice(index, index + 1))
                low_res = head.decode_targets(one, part, batch.kinds[index])
                fine, coarse = (None if each is None else upscale_logits(each, size, height, width) for each in low_res)
                out.append((fine, coarse))
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


def _plus(losses: MaskLosses, others: MaskLosses, weight: float) -> MaskLosses:
    return MaskLosses(losses.bce + weight * others.bce, losses.dice + weight * others.dice)


def _no_masks(device: torch.device):
    return image_mask_losses([torch.zeros((0, 1, 1), device=device)], [torch.zeros((0, 1, 1), device=device)], [None])


def _is_trained(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())


@contextmanager
def full_precision(device: torch.device):
    """Without autocast: masks are decoded and losses summed in float32, as the engine decodes them."""
    with torch.autocast(device.type, enabled=False):
        yield
