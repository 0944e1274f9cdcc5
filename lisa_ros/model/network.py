"""LISA's network: a LLaVA whose [SEG] states prompt SAM's mask decoder. Its state dict has the published keys."""

import torch
from torch import Tensor, nn
from transformers import LlamaModel
from transformers.cache_utils import Cache

from lisa_ros.model.config import LisaConfig
from lisa_ros.model.heads import SamPromptHead
from lisa_ros.model.mask2former import Mask2FormerSegmenter, Mask2FormerSizes
from lisa_ros.model.proposal_head import add_proposal_parts
from lisa_ros.model.sam import SamFeatures, SegmentAnything
from lisa_ros.model.sam_config import SamConfig
from lisa_ros.model.styles import Style, get_style
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID
from lisa_ros.model.vision import ClipTower


class LisaNetwork(nn.Module):
    """The pieces, to be called one by one: training packs batches of its own, the engine keeps caches.

    Sequences are "expanded": the image's id stands once for each of the N visual tokens. Position i of the last hidden
    states predicts token i + 1; the state that predicts a [SEG] is the one its mask is decoded from.
    """

    def __init__(self, config: LisaConfig, vision_tower: ClipTower | None = None) -> None:
        super().__init__()
        self.config = config
        # SAM, the projector and the text projection live inside `model`, where published checkpoints have them.
        self.model = LlamaModel(config.llama())  # without its head; it holds `embed_tokens`, `layers`, `norm`
        self.model.mm_projector = _projector(config)
        self.model.text_hidden_fcs = nn.ModuleList([_text_projection(config)])
        self.model.visual_model = _segmenter(config.sam)
        if config.proposal_head is not None:
            add_proposal_parts(self.model, config.proposal_head)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.vision_tower = vision_tower
        if isinstance(self.sam, SegmentAnything):
            self.sam.image_encoder.neck.register_forward_pre_hook(_match_type)

    @property
    def sam(self) -> SegmentAnything | Mask2FormerSegmenter:
        """The Segment Anything part, or the Mask2Former in its place."""
        return self.model.visual_model

    @property
    def style(self) -> Style:
        """How prompts and answers are worded and grounded."""
        return get_style(self.config.style)

    @property
    def head(self) -> SamPromptHead:
        """Hidden states -> masks."""
        return self.style.head.of(self.model, self.config.proposal_head)

    def set_attention(self, implementation: str) -> None:
        """Chooses transformers' attention for LLaMA and CLIP: "sdpa" (fused kernels) or "eager"."""
        for model in (self.model, self.vision_tower.model if self.vision_tower else None):
            if model is not None:
                model.set_attn_implementation(implementation)

    def encode_image(self, pixels: Tensor) -> SamFeatures:
        """SAM's features of preprocessed images (B, 3, S, S) float32."""
        return self.sam.encode(pixels.to(self.sam.encoder_dtype))

    def visual_tokens(self, sam_features: SamFeatures, clip_pixels: Tensor | None) -> Tensor:
        """Visual tokens (B, N, hidden_size) in row-major order, from the tower that the configuration names.

        clip_pixels: (B, 3, S, S) of the CLIP preprocessor; unused when SAM's encoder is shared.
        """
        if self.config.shares_image_encoder:
            embedding = sam_features.embedding
            position = self.sam.prompt_encoder.get_dense_pe().to(embedding.dtype).expand_as(embedding)
            tokens = torch.cat([embedding, position], dim=1).flatten(2).transpose(1, 2)
        else:
            tokens = self.vision_tower(clip_pixels)
        return self.model.mm_projector(tokens.to(self.projector_dtype))

    @property
    def projector_dtype(self) -> torch.dtype:
        """Floating-point type of the projector's weights."""
        return next(self.model.mm_projector.parameters()).dtype

    def embed(self, ids: Tensor) -> Tensor:
        """Input embeddings (B, L, hidden_size) of token ids (B, L) without image placeholders."""
        return self.model.embed_tokens(ids)

    def splice(self, ids: Tensor, visual: Tensor) -> Tensor:
        """Input embeddings (B, L, hidden_size) of expanded ids (B, L), visual (B, N, ..) at the image's ids."""
        is_image = ids == IMAGE_TOKEN_ID
        embeddings = self.embed(ids.masked_fill(is_image, 0))
        return embeddings.masked_scatter(is_image.unsqueeze(-1), visual.to(embeddings.dtype))

    def hidden_states(
        self,
        embeddings: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Last hidden states (B, L, hidden_size) after the final norm.

        attention_mask: None for plain causal attention, (B, total) of 0/1 for padding, or additive (B, 1, L, total).
        cache: keys and values of what precedes; it is extended in place.
        """
        return self.model(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits (.., vocab_size) float32."""
        return self.lm_head(hidden).float()


def _segmenter(config: SamConfig | Mask2FormerSizes) -> SegmentAnything | Mask2FormerSegmenter:
    return SegmentAnything(config) if isinstance(config, SamConfig) else Mask2FormerSegmenter(config)


def _match_type(module: nn.Sequential, inputs: tuple[Tensor]) -> Tensor:
    """SAM's neck overflows in float16: its weights may be of a wider type than the blocks before it."""
    return inputs[0].to(module[0].weight.dtype)


def _projector(config: LisaConfig) -> nn.Module:
    """Visual tokens (.., mm_hidden_size) -> (.., hidden_size): LLaVA-v1's linear layer or LLaVA-1.5's two-layer MLP."""
    first = nn.Linear(config.mm_hidden_size, config.hidden_size)
    if config.mm_projector_type == "linear":
        return first
    return nn.Sequential(first, nn.GELU(), nn.Linear(config.hidden_size, config.hidden_size))


def _text_projection(config: LisaConfig) -> nn.Sequential:
    """Hidden state (.., hidden_size) of a grounding token -> mask prompt (.., sam.prompt_embed_dim)."""
    return nn.Sequential(
        nn.Linear(config.hidden_size, config.hidden_size),
        nn.ReLU(),
        nn.Linear(config.hidden_size, config.sam.prompt_embed_dim),
    )
