"""LLM-Seg's training objective: answers, which proposals their [SEG] mean, and how much of each belongs to it."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lisa_ros.inference.regions import Regions, choose_masks
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.proposal_head import PARTS
from training.data.collate import IGNORE_INDEX, Batch
from training.data.feature_cache import FeatureCache
from training.data.proposal_targets import ProposalTargets
from training.model.losses import answer_loss
from training.model.objective import LisaObjective, full_precision
from training.model.proposal_losses import ProposalLosses, align_loss, image_losses, iop_loss


class LossWeights(NamedTuple):
    """Of the terms of LLM-Seg's loss.

    Attributes:
        ce: Of the answers' cross-entropy.
        align: Of the similarities' divergence.
        iop: Of the expected IoP's error.
    """

    ce: float = 1.0
    align: float = 1.0
    iop: float = 1.0


class ProposalStepLosses(NamedTuple):
    """Losses of one batch, weights included; scalars.

    Attributes:
        loss: ce + align + iop.
        ce: Cross-entropy of the answers.
        align: Divergence of the similarities from what the IoUs would choose.
        iop: Error of the expected IoP.
    """

    loss: Tensor
    ce: Tensor
    align: Tensor
    iop: Tensor


class ProposalObjective(LisaObjective):
    """Forward pass and losses of an LLM-Seg; Segment Anything has made the proposals before, and is not asked.

    Attributes:
        weights: Of the terms.
    """

    loss_names = ("loss", "ce", "align", "iop")
    weights = LossWeights()

    def forward(self, batch: Batch, predict: bool = False) -> ProposalStepLosses | list[Tensor]:
        """The losses of one batch, or its predictions; see LisaObjective.

        Predicted logits are those of the proposals that the network's rule chooses, as in published evaluations.
        """
        hidden, _ = self.read(batch)
        if predict:
            return self._predictions(batch, hidden)
        learnt = batch.labels[:, 1:] != IGNORE_INDEX
        ce = answer_loss(self.network.logits(hidden[:, :-1][learnt]), batch.labels[:, 1:][learnt])
        chosen = self._proposal_losses(batch, hidden)
        terms = [weight * term for weight, term in zip(self.weights, (ce, *chosen), strict=True)]
        return ProposalStepLosses(sum(terms), *(term.detach() for term in terms))

    def image_terms(self, batch: Batch, hidden: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For each image the align and the IoP loss (n_i,) of its [SEG]."""
        head, terms = self.network.head, []
        with full_precision(hidden.device):
            for targets, pooled, states in self.images(batch, hidden):
                if len(states) and len(targets.proposals):
                    scores = head.score(head.embed(states), pooled)
                    terms.append((align_loss(scores.similarity, targets.iou), iop_loss(scores.iop, targets.iop)))
        return terms

    def anchor(self) -> Tensor | float:
        """See LisaObjective."""
        model = self.network.model
        own = [p for name in PARTS for p in getattr(model, name).parameters() if p.requires_grad]
        return super().anchor() + sum(p.sum() for p in own) * 0.0

    def _proposal_losses(self, batch: Batch, hidden: Tensor) -> ProposalLosses:
        return image_losses(self.image_terms(batch, hidden), hidden)

    def images(self, batch: Batch, hidden: Tensor) -> Iterator[tuple[ProposalTargets, Tensor, Tensor]]:
        """For each image its proposals' targets, pooled features (K, C), and the states (n_i, ..) of its [SEG]."""
        if batch.dino_pixels is None:
            return
        head = self.network.head
        states = hidden[batch.states[:, 0], batch.states[:, 1]].split([len(kinds) for kinds in batch.kinds])
        maps = head.region_map(batch.dino_pixels)
        for targets, region_map, own in zip(batch.proposals, maps, states, strict=True):
            yield targets, head.pool(region_map, targets.weights), own

    def _predictions(self, batch: Batch, hidden: Tensor) -> list[Tensor]:
        found = []
        with full_precision(hidden.device):
            for (targets, pooled, states), masks in zip(self.images(batch, hidden), batch.masks, strict=True):
                size = tuple(masks.shape[1:])
                regions = Regions(targets.proposals, pooled)
                chosen = choose_masks(self.network.head, regions, states, size, strict=True)
                logits = [torch.from_numpy(one.logits) for one in chosen]
                found.append(torch.stack(logits) if logits else torch.zeros((0, *size)))
        return found


def objective_of(network: LisaNetwork, cache: FeatureCache | None = None, coarse_weight: float = 0.0) -> LisaObjective:
    """The objective of a network's style; arguments as of LisaObjective."""
    kind = ProposalObjective if network.style.chooses else LisaObjective
    return kind(network, cache, coarse_weight)
