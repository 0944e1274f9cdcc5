"""ELISA's network: a LLaVA whose vocabulary has a row for each candidate mask of the image it is asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration
from transformers.cache_utils import Cache

from lisa_ros.errors import CheckpointError
from lisa_ros.model.elisa.adapter import MaskAdapter


@dataclass(frozen=True)
class CandidateRows:
    """Rows of the vocabulary that stand for candidate masks, of one image or of all images of a batch.

    Attributes:
        embedding: (K, hidden_size) rows for the input, before the language model scales its embeddings.
        head: (K, hidden_size) rows for the head; those of the input where the head is tied.
    """

    embedding: Tensor
    head: Tensor

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.embedding)


@dataclass(frozen=True)
class ElisaConfig:
    """What evaluations read of a network's configuration.

    Attributes:
        style: Name of the preset.
        mask_query: Questions for a "phrase" and for a "sentence".
        max_position_embeddings: Tokens that prompt and answer share.
        seg_threshold: Least probability of a mask; none is set.
    """

    style: str
    mask_query: Mapping[str, str]
    max_position_embeddings: int
    seg_threshold: float = 0.0


class ElisaNetwork(nn.Module):
    """The pieces, to be called one by one: training has batches of its own, the engine keeps caches.

    The id of candidate k is `first_candidate` + k; the model's padding rows, which it has from there on without
    candidates, follow behind the last one. Nothing is copied: candidates' logits are products with their rows.

    Args:
        llava: transformers' LLaVA.
        adapter: Embeddings of masks -> rows.
        image_id: Id of the image's placeholder.
        first_candidate: Id of the first candidate, the number of tokens that the tokenizer knows.
        head_adapter: Makes the rows of the head where the head is not tied to the embedding; None where it is.
        closed: Padding rows cannot be said (their logits are -inf). False as in the official code, where they can.

    Raises:
        CheckpointError: The head is not tied and there is no `head_adapter`, or the sizes do not fit.
    """

    def __init__(
        self,
        llava: LlavaForConditionalGeneration,
        adapter: MaskAdapter,
        *,
        image_id: int,
        first_candidate: int,
        head_adapter: MaskAdapter | None = None,
        closed: bool = True,
    ) -> None:
        super().__init__()
        self.llava, self.adapter, self.head_adapter = llava, adapter, head_adapter
        self.image_id, self.first_candidate, self.closed = image_id, first_candidate, closed
        self.config: ElisaConfig | None = None  # set by the engine, which chooses the preset
        config = llava.config
        tied = llava.lm_head.weight is llava.get_input_embeddings().weight
        if tied != (head_adapter is None):
            raise CheckpointError(
                "the language model's head is its embedding, and the checkpoint has an adapter for a head of its own"
                if tied
                else "the language model's head is not its embedding: ELISA's rows need an adapter for the head too, "
                "which this checkpoint lacks. Train one on this base, or take one with a tied head (LLaVA-Gemma)"
            )
        if not isinstance(config.vision_feature_layer, int):
            raise CheckpointError(f"vision_feature_layer is {config.vision_feature_layer}; only one layer is supported")

    @property
    def hidden_size(self) -> int:
        """Width of the language model."""
        return self.llava.config.text_config.hidden_size

    @property
    def vocabulary_size(self) -> int:
        """Rows of the vocabulary without candidates."""
        return len(self.llava.get_input_embeddings().weight)

    @property
    def model(self) -> nn.Module:
        """The language model without its head."""
        return self.llava.model.language_model

    def set_attention(self, implementation: str) -> None:
        """Chooses transformers' attention: "sdpa" (fused kernels) or "eager"."""
        self.llava.set_attn_implementation(implementation)

    def rows(self, embeddings: Tensor) -> CandidateRows:
        """The vocabulary's rows of masks' embeddings (K, D)."""
        weight = self.llava.get_input_embeddings().weight
        given = self.adapter(embeddings.float()).to(weight.dtype)
        if self.head_adapter is None:
            return CandidateRows(given, given)
        return CandidateRows(given, self.head_adapter(embeddings.float()).to(weight.dtype))

    def visual_features(self, pixels: Tensor) -> Tensor:
        """(B, N, C) patch tokens of CLIP's chosen layer for preprocessed images (B, 3, S, S)."""
        model, config = self.llava.model, self.llava.config
        tower = model.vision_tower
        states = tower(pixels.to(tower.dtype), output_hidden_states=True).hidden_states[config.vision_feature_layer]
        return states[:, 1:] if config.vision_feature_select_strategy == "default" else states

    def visual_tokens(self, pixels: Tensor) -> Tensor:
        """Visual tokens (B, N, hidden_size) of preprocessed images (B, 3, S, S)."""
        return self.llava.model.multi_modal_projector(self.visual_features(pixels))

    def embed(self, ids: Tensor, rows: CandidateRows) -> Tensor:
        """Input embeddings (B, L, hidden_size) of ids (B, L) without image placeholders."""
        index = ids - self.first_candidate
        said = (index >= 0) & (index < len(rows))
        plain = torch.where(index >= len(rows), ids - len(rows), ids.masked_fill(said, 0))
        embedded = F.embedding(plain, self.llava.get_input_embeddings().weight)
        if not len(rows):
            return embedded
        return torch.where(said.unsqueeze(-1), rows.embedding[index.clamp(0, len(rows) - 1)], embedded)

    def splice(self, ids: Tensor, visual: Tensor, rows: CandidateRows) -> Tensor:
        """Input embeddings (B, L, hidden_size) of expanded ids (B, L), visual (B, N, ..) at the image's ids."""
        is_image = ids == self.image_id
        embeddings = self.embed(ids.masked_fill(is_image, 0), rows)
        return embeddings.masked_scatter(is_image.unsqueeze(-1), visual.to(embeddings.dtype))

    def hidden_states(
        self,
        embeddings: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Last hidden states (B, L, hidden_size) after the final norm; arguments as of LisaNetwork.hidden_states."""
        # Gemma scales what it is fed. Since transformers 5 its embedding does so with words, and nothing with the rest.
        scale = getattr(self.llava.get_input_embeddings(), "embed_scale", None)
        return self.model(
            inputs_embeds=embeddings if scale is None else embeddings * scale.to(embeddings.dtype),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def logits(self, hidden: Tensor, rows: CandidateRows) -> Tensor:
        """Next-token logits (.., vocabulary_size + K) float32, the candidates' from `first_candidate` on."""
        first = self.first_candidate
        own = self.llava.lm_head(hidden).float()
        padding = torch.full_like(own[..., first:], -torch.inf) if self.closed else own[..., first:]
        return torch.cat([own[..., :first], (hidden @ rows.head.T).float(), padding], dim=-1)


class AskedNetwork:
    """An ElisaNetwork with the candidates of one image: what generation asks a network for."""

    def __init__(self, network: ElisaNetwork, rows: CandidateRows) -> None:
        self.config = network.config
        self.lm_head = network.llava.lm_head
        self._network, self._rows = network, rows
        self.hidden_states = network.hidden_states

    def embed(self, ids: Tensor) -> Tensor:
        """See ElisaNetwork.embed."""
        return self._network.embed(ids, self._rows)

    def splice(self, ids: Tensor, visual: Tensor) -> Tensor:
        """See ElisaNetwork.splice."""
        return self._network.splice(ids, visual, self._rows)

    def logits(self, hidden: Tensor) -> Tensor:
        """See ElisaNetwork.logits."""
        return self._network.logits(hidden, self._rows)

    def scores(self, hidden: Tensor) -> Tensor:
        """(n, K) logits of the candidates alone, of hidden states (n, hidden_size)."""
        first = self._network.first_candidate
        return self.logits(hidden)[..., first : first + len(self._rows)]


def owners_mask(owners: Sequence[int], images: int, device: torch.device) -> Tensor:
    """(images, K) bool: whether a row belongs to an image. owners: for each of the K rows the image it belongs to."""
    return torch.tensor(list(owners), device=device)[None] == torch.arange(images, device=device)[:, None]
