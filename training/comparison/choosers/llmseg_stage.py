"""LLM-Seg on the packaged model: its head with the packaged encoder in DINOv2's place, and its losses."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lisa_ros.model.checkpoint import Checkpoint, assemble, find
from lisa_ros.model.config import read_config
from lisa_ros.model.dinov2 import Dinov2
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.proposal_config import DINO
from lisa_ros.model.sam import SegmentAnything
from lisa_ros.model.tokenizer import LisaTokenizer
from lisa_ros.model.weights import read_weights
from lisa_ros.simulator import Scene
from lisa_ros.types import Sample
from training.comparison.choosers.config import ChooserComparisonConfig
from training.comparison.choosers.pools import noisy_truth
from training.comparison.questions import PhraseBatch, PhraseCollator
from training.comparison.train_style import packed_states
from training.data.proposal_targets import ProposalTargets, proposal_targets
from training.model.base import fresh_proposal_parts
from training.model.losses import answer_loss
from training.model.proposal_losses import align_loss, image_losses, iop_loss
from training.tabletop.packing import IGNORE_INDEX
from training.tabletop.scenes import IMAGE_SIZE

_HEAD = {"heads": 8, "mlp_dim": 512, "iop_dim": 64, "embedding_dim": 512, "input_size": IMAGE_SIZE, "pooling_size": 64}


class EncoderInPlaceOfDinov2(nn.Module):
    """Patch tokens (B, N, C) as Dinov2 gives them, of the packaged model's own frozen image encoder."""

    def __init__(self, sam: SegmentAnything) -> None:
        super().__init__()
        self._sam = (sam,)  # in a tuple: it is the network's, and in its state already

    def forward(self, pixels: Tensor) -> Tensor:
        """See Dinov2."""
        return self._sam[0].encode(pixels).embedding.flatten(2).transpose(1, 2)


def llmseg_network(source: str) -> Checkpoint:
    """A checkpoint's network with fresh parts for proposals; equal each time.

    Raises CheckpointError where the checkpoint cannot be read.
    """
    directory = find(source)
    values, weights = read_config(directory / "config.json"), dict(read_weights(directory))
    size, prefix = values["sam"], "model.visual_model."
    width, patch = size["prompt_embed_dim"], size["patch_size"]
    stand_in = Dinov2(width, 1, 1, 1, patch, 1 + (IMAGE_SIZE // patch) ** 2)
    weights |= {f"{DINO}{key}": value for key, value in stand_in.state_dict().items()}
    head = {**_HEAD, "dino_heads": 1}
    sam = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    weights |= fresh_proposal_parts(weights, head, sam, 0)
    for key in ("mask_query", "seg_threshold", "system_prompt"):  # were chosen for the style before
        values.pop(key, None)
    tokenizer = LisaTokenizer.from_directory(directory)
    checkpoint = assemble(values | {"style": "llmseg"}, weights, tokenizer, directory, proposal_head=head)
    checkpoint.network.model.visual_model_dinov2 = EncoderInPlaceOfDinov2(checkpoint.network.sam)
    return checkpoint


@dataclass(frozen=True)
class ProposalPhraseBatch:
    """Scenes with their phrases, and how each scene's proposals overlap with what they mean.

    Attributes:
        phrases: See PhraseBatch.
        proposals: Of each image; its rows are the targets in the order of the events.
    """

    phrases: PhraseBatch
    proposals: tuple[ProposalTargets, ...]


class ProposalPhraseCollator:
    """Renders scenes in LLM-Seg's style; proposals are the noisy truth."""

    def __init__(self, config: ChooserComparisonConfig, checkpoint: Checkpoint) -> None:
        self.config, self.size = config, checkpoint.network.config.proposal_head.pooling_size
        self.phrases = PhraseCollator(checkpoint, config.world.phrases_per_question)

    def __call__(self, scenes: Sequence[tuple[Scene, Sample]], rng: np.random.Generator) -> ProposalPhraseBatch:
        """The batch; equal draws give equal batches."""
        phrases = self.phrases([sample for _, sample in scenes], rng)
        found = []
        for (scene, _), targets in zip(scenes, phrases.targets, strict=True):
            masks = np.stack([target.mask for target in targets])
            found.append(proposal_targets(noisy_truth(self.config.pools, scene), masks, self.size))
        return ProposalPhraseBatch(phrases, tuple(found))


class ProposalPhraseStage(nn.Module):
    """An LLM-Seg with its losses on packed conversations."""

    def __init__(self, network: LisaNetwork) -> None:
        super().__init__()
        self.network = network
        self.network.set_attention("eager")
        self._clock = time.process_time()

    def losses(self, batch: ProposalPhraseBatch) -> dict[str, Tensor]:
        """LLM-Seg's losses, and for the log how often the most similar proposal is the best one, and core seconds."""
        network, packed, head = self.network, batch.phrases.packed, self.network.head
        with torch.no_grad():
            features = network.encode_image(batch.phrases.images)
        hidden = packed_states(network, packed, features)
        learnt = packed.labels != IGNORE_INDEX
        answer = answer_loss(network.logits(hidden[learnt]), packed.labels[learnt])
        states = hidden[batch.phrases.events[:, 0], batch.phrases.events[:, 1]]
        maps, terms, best = head.region_map(batch.phrases.images), [], []
        parts = states.split([len(kinds) for kinds in batch.phrases.kinds])
        for region_map, own, targets in zip(maps, parts, batch.proposals, strict=True):
            if not len(targets.proposals):
                continue
            scores = head.score(head.embed(own), head.pool(region_map, targets.weights))
            terms.append((align_loss(scores.similarity, targets.iou), iop_loss(scores.iop, targets.iop)))
            best.append(scores.similarity.detach().argmax(dim=1) == targets.iou.argmax(dim=1))
        align, iop = image_losses(terms, hidden)
        began, self._clock = self._clock, time.process_time()
        return {
            "loss": answer + align + iop,
            "answer": answer.detach(),
            "align": align.detach(),
            "iop": iop.detach(),
            "best": torch.cat(best).float().mean() if best else torch.tensor(0.0),
            "core_seconds": torch.tensor(self._clock - began),
        }
