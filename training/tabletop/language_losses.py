"""How the language model reads packed questions about images, and what the two language stages teach it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lisa_ros.model.network import LisaNetwork
from training.model.losses import answer_loss
from training.tabletop.packing import IGNORE_INDEX, PackedBatch
from training.tabletop.questions import NOWHERE, QuestionBatch
from training.tabletop.scenes import CATEGORY_COUNT, STRIDE, SceneBatch, one_hot_words

POINTING_WEIGHT = 0.3
NAMING_WEIGHT = 0.5
NAMING_LAYER = 4  # the layers above look up what was named
DECISION_WEIGHT = 0.5
ATTENTION_WEIGHT = 0.5
ATTENTION_LAYER, ATTENTION_HEAD = 4, 0  # the layer above says what was seen
COVERED = 0.04  # share of a cell that an object must cover to be looked at there


def coverage(batch: SceneBatch) -> Tensor:
    """Root of the share of each stride-16 cell that each class and colour covers: (B, cells, classes + colours)."""
    words = one_hot_words(batch.classes, batch.colours)
    return nn.functional.avg_pool2d(words, 16 // STRIDE).sqrt().flatten(2).transpose(1, 2)


def uncovered(shown: Tensor) -> Tensor:
    """Root of the share of each cell that no object covers: coverage (B, cells, classes + colours) -> (B, cells, 1)."""
    return (1 - shown[..., :CATEGORY_COUNT].square().sum(-1, keepdim=True)).clamp(min=0).sqrt()


class PointingHead(nn.Module):
    """Scores of a state against every visual token: states (p, H) and tokens (p, N, H) -> (p, N)."""

    def __init__(self, hidden_size: int, width: int = 128) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, width)
        self.key = nn.Linear(hidden_size, width)

    def forward(self, states: Tensor, tokens: Tensor) -> Tensor:
        """states (P, hidden_size), tokens (P, N, hidden_size) -> (P, N) scores."""
        return torch.einsum("pd,pnd->pn", self.query(states), self.key(tokens)) / self.query.out_features**0.5


@dataclass(frozen=True)
class LanguageModelOutput:
    """What the language model made of a packed batch of B sequences of L positions.

    hidden, middle (B, L, H): the states of the last layer and of NAMING_LAYER, both after the final norm.
    attention (B, L, L): of ATTENTION_HEAD in ATTENTION_LAYER.
    """

    hidden: Tensor
    middle: Tensor
    attention: Tensor


def run_language_model(network: LisaNetwork, packed: PackedBatch, visual: Tensor) -> LanguageModelOutput:
    """Reads packed conversations about images with the visual tokens (B, N, H); needs the "eager" attention."""
    first, last = packed.visual
    inputs = network.embed(packed.ids)
    inputs = torch.cat([inputs[:, :first], visual, inputs[:, last:]], dim=1)
    output = network.model(
        inputs_embeds=inputs,
        attention_mask=packed.attention_mask(inputs.dtype),
        position_ids=packed.positions,
        use_cache=False,
        output_hidden_states=True,
        output_attentions=True,
    )
    return LanguageModelOutput(
        hidden=output.last_hidden_state,
        middle=network.model.norm(output.hidden_states[NAMING_LAYER]),
        attention=output.attentions[ATTENTION_LAYER][:, ATTENTION_HEAD],
    )


def language_losses(
    network: LisaNetwork, words: Tensor, pointing: PointingHead, batch: QuestionBatch, visual: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The last states of a batch read with the visual tokens (B, N, H), and the losses of what was read.

    words: token ids of all classes and colours. "loss" is the weighted sum of the others.
    """
    output = run_language_model(network, batch.packed, visual)
    answer, accuracy = answer_losses(network, output.hidden, batch.packed)
    decision = decision_loss(network, output.hidden, batch)
    attended = attention_loss(output.attention, batch)
    pointed = pointing_loss(pointing, output.hidden, visual, batch)
    naming = naming_loss(network, words, output.middle, batch)
    return output.hidden, {
        "loss": answer
        + DECISION_WEIGHT * decision
        + ATTENTION_WEIGHT * attended
        + POINTING_WEIGHT * pointed
        + NAMING_WEIGHT * naming,
        "answer": answer.detach(),
        "token_accuracy": accuracy,
        "decision": decision.detach(),
        "looking": attended.detach(),
        "pointing": pointed.detach(),
        "naming": naming.detach(),
    }


def answer_losses(network: LisaNetwork, hidden: Tensor, packed: PackedBatch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the answers, and the share of their tokens that are right."""
    labelled = packed.labels != IGNORE_INDEX
    logits = network.logits(hidden[labelled])
    return answer_loss(logits, packed.labels[labelled]), (logits.argmax(-1) == packed.labels[labelled]).float().mean()


def decision_loss(network: LisaNetwork, hidden: Tensor, batch: QuestionBatch) -> Tensor:
    """Cross-entropy of the words that say whether a thing is there, which the mean over all words would drown."""
    return nn.functional.cross_entropy(network.logits(hidden[batch.decisions]), batch.packed.labels[batch.decisions])


def naming_loss(network: LisaNetwork, words: Tensor, middle: Tensor, batch: QuestionBatch) -> Tensor:
    """What the middle of the language model must have in words, for the layers above to look up the rest by likeness.

    Where an answer is due: the class that will be named next. Where a visual token is: the class and colour it shows.
    """
    due = batch.names != IGNORE_INDEX
    answer = nn.functional.cross_entropy(network.logits(middle[due]), batch.names[due])
    shown = coverage(batch.scenes)
    total = shown.sum(-1, keepdim=True)
    first, last = batch.packed.visual
    scores = middle[:, first:last] @ network.model.embed_tokens.weight[words].T
    cells = -(shown / total.clamp(min=1e-6) * scores.log_softmax(-1)).sum(-1)[total[..., 0] > 0].mean()
    return answer + cells


def attention_loss(attention: Tensor, batch: QuestionBatch) -> Tensor:
    """Minus the logarithm of the attention that an answering state pays to the cells of what it speaks of.

    attention (B, L, L). For an absent target the attention is to rest on the first token. Without this loss the small
    model answers for a long time that everything is there.
    """
    covered = nn.functional.avg_pool2d(batch.targets[:, None], 16 // STRIDE).flatten(1)
    cells = (covered > COVERED) | (covered == covered.amax(1, keepdim=True))
    image, position = batch.attention_positions.unbind(1)
    attention = attention[image, position]
    first, last = batch.packed.visual
    seen = (attention[:, first:last] * cells[batch.attention_targets.clamp(min=0)]).sum(1)
    seen = torch.where(batch.attention_targets == NOWHERE, attention[:, 0], seen)
    return -(seen + 1e-6).log().mean()


def pointing_loss(head: PointingHead, hidden: Tensor, visual: Tensor, batch: QuestionBatch) -> Tensor:
    """Cross-entropy of the pointing head against the share of each cell that the target covers."""
    image, position = batch.pointing.unbind(1)
    scores = head(hidden[image, position], visual[image])
    cells = nn.functional.avg_pool2d(batch.targets[batch.pointing_targets][:, None], 16 // STRIDE).flatten(1)
    cells = cells / cells.sum(1, keepdim=True).clamp(min=1e-6)
    return -(cells * scores.log_softmax(-1)).sum(1).mean()
