"""ELISA's loss: the cross-entropy of answers in which masks are words."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.elisa.network import CandidateRows, ElisaNetwork, owners_mask
from training.elisa.batch import ElisaBatch


@dataclass(frozen=True)
class ElisaLossConfig:
    """Choices of the loss; the defaults are the corrected system's.

    Attributes:
        temperature: Logits are divided by it.
        positive_weight: Weight of answer tokens that are masks.
        soft_iou: Candidates of the same image whose IoU with the target is at least this much are right too, by
            softmax(IoU / soft_temperature); 1 makes the target alone right.
        soft_temperature: See `soft_iou`.
        foreign: "closed": other images' masks cannot be said (-inf). "zero": their logit is multiplied by 0, as in the
            official code, and still enters the softmax.
        padded_mean: The sum of the losses is divided by batch times longest answer, as in the official code; else by
            the weight of the answers' tokens.

    Raises:
        ConfigurationError: A value is out of range.
    """

    temperature: float = 0.1
    positive_weight: float = 2.0
    soft_iou: float = 0.5
    soft_temperature: float = 0.05
    foreign: str = "closed"
    padded_mean: bool = False

    def __post_init__(self) -> None:
        for name in ("temperature", "positive_weight", "soft_temperature"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"loss.{name} is {getattr(self, name)}; it must be above 0")
        if not 0 < self.soft_iou <= 1:
            raise ConfigurationError(f"loss.soft_iou is {self.soft_iou}; it must be above 0 and at most 1")
        if self.foreign not in ("closed", "zero"):
            raise ConfigurationError(f"loss.foreign is {self.foreign!r}; it must be closed or zero")


class ElisaLosses(NamedTuple):
    """Of one batch.

    Attributes:
        loss: Scalar.
        tokens: (B, T) weighted losses of the answers' tokens, 0 at padding.
        logits: (B, T, V + K) that predict them, foreign rows treated, before the temperature.
        hidden: (B, L', hidden_size) last states of the expanded sequences.
        rows: The candidates' rows of the vocabulary.
    """

    loss: Tensor
    tokens: Tensor
    logits: Tensor
    hidden: Tensor
    rows: CandidateRows


class ElisaObjective(nn.Module):
    """Forward pass and loss; this is the module that is trained.

    Gradients reach the adapter through the rows, at the input and in the head, as any other gradient.
    """

    def __init__(self, network: ElisaNetwork, config: ElisaLossConfig, pad_id: int) -> None:
        super().__init__()
        self.network, self.config, self.pad_id = network, config, pad_id

    def forward(self, batch: ElisaBatch) -> ElisaLosses:
        """The losses of one batch, which is on the network's device."""
        network = self.network
        visual = network.visual_tokens(batch.pixels)
        rows = network.rows(batch.embeddings)
        ids, attended = expand_images(batch.ids, batch.attention_mask, network.image_id, visual.shape[1])
        hidden = network.hidden_states(
            network.splice(ids, visual, rows),
            attention_mask=attended.long(),
            position_ids=(attended.cumsum(dim=1) - 1).masked_fill(~attended, 1),
        )
        return self.answer_losses(hidden, hidden[:, -batch.labels.shape[1] :], rows, batch)

    def answer_losses(self, hidden: Tensor, states: Tensor, rows: CandidateRows, batch: ElisaBatch) -> ElisaLosses:
        """The losses where the states (B, T, hidden_size) that predict the batch's labels are known."""
        logits = self._owned(self.network.logits(states, rows), batch)
        tokens = self._tokens(logits / self.config.temperature, batch)
        if self.config.padded_mean:
            loss = tokens.sum() / tokens.numel()
        else:
            loss = tokens.sum() / self._weights(batch)[batch.labels != self.pad_id].sum()
        return ElisaLosses(loss, tokens, logits, hidden, rows)

    def _owned(self, logits: Tensor, batch: ElisaBatch) -> Tensor:
        """Logits in which other images' candidates count for nothing."""
        first, count = self.network.first_candidate, len(batch.owners)
        own = owners_mask(batch.owners, len(logits), logits.device)[:, None]
        masks = logits[..., first : first + count]
        masks = masks * own if self.config.foreign == "zero" else masks.masked_fill(~own, -torch.inf)
        return torch.cat([logits[..., :first], masks, logits[..., first + count :]], dim=-1)

    def _weights(self, batch: ElisaBatch) -> Tensor:
        first = self.network.first_candidate
        is_mask = (batch.labels >= first) & (batch.labels < first + batch.positives)
        return torch.where(is_mask, self.config.positive_weight, 1.0)

    def _tokens(self, logits: Tensor, batch: ElisaBatch) -> Tensor:
        log_probability = F.log_softmax(logits.float(), dim=-1)
        losses = -log_probability.gather(2, batch.labels.unsqueeze(-1)).squeeze(-1)
        if batch.overlaps is not None and self.config.soft_iou < 1:
            losses = self._softened(losses, log_probability, batch)
        return (losses * self._weights(batch)).masked_fill(batch.labels == self.pad_id, 0.0)

    def _softened(self, losses: Tensor, log_probability: Tensor, batch: ElisaBatch) -> Tensor:
        """Losses of mask tokens towards all candidates that cover nearly the same, in place of the target alone."""
        first, count = self.network.first_candidate, len(batch.owners)
        index = batch.labels - first
        is_mask = (index >= 0) & (index < batch.positives)
        overlap = batch.overlaps[index.clamp(0, batch.positives - 1)]
        near = overlap >= self.config.soft_iou
        wanted = (overlap / self.config.soft_temperature).masked_fill(~near, -torch.inf)
        wanted = torch.where(is_mask.unsqueeze(-1), wanted, 0.0).softmax(dim=-1)
        masks = log_probability[..., first : first + count].masked_fill(~near, 0.0)  # -inf times 0 is no number
        soft = -(wanted * masks).sum(dim=-1)
        return torch.where(is_mask, soft, losses)


def expand_images(ids: Tensor, attended: Tensor, image_id: int, visual_tokens: int) -> tuple[Tensor, Tensor]:
    """The one image of each row (B, L) -> `visual_tokens` times its id; ids and mask (B, L + visual_tokens - 1)."""
    places = (ids == image_id).long().argmax(dim=1)
    index = torch.arange(ids.shape[1] + visual_tokens - 1, device=ids.device)[None]
    source = torch.where(index < places[:, None], index, (index - visual_tokens + 1).maximum(places[:, None]))
    return ids.gather(1, source), attended.gather(1, source)
