"""The packaged model as the LLaVA that an ELISA is made of: its language model, its projector, its image encoder."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lisa_ros.inference.elisa.model import ElisaModel
from lisa_ros.model.checkpoint import Checkpoint
from lisa_ros.model.elisa.adapter import MlpAdapter
from lisa_ros.model.elisa.network import ElisaNetwork
from lisa_ros.model.elisa.tokenizer import IMAGE_WORD, MASK_WORD, MASK_WORDS
from lisa_ros.model.network import LisaNetwork
from lisa_ros.model.preprocess import CLIP_MEAN
from lisa_ros.model.prompts import ConversationTemplate, image_block
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID, LisaTokenizer
from training.comparison.choosers.config import ChooserConfig
from training.tabletop.scenes import normalise

_GREY = np.asarray(np.round(np.asarray(CLIP_MEAN) * 255), np.uint8)
_AT_ONCE = 8


class PackagedElisaTokenizer:
    """What ELISA asks of a tokenizer, answered by the packaged model's own."""

    def __init__(self, tokenizer: LisaTokenizer, template: ConversationTemplate) -> None:
        words = [MASK_WORD.format(number=number).strip() for number in range(1, MASK_WORDS + 1)]
        self._inner, self._template = tokenizer.with_tokens(words), template
        self.first_candidate, self.image_id = len(tokenizer), IMAGE_TOKEN_ID
        self.eos_id, self.unk_id = tokenizer.eos_id, tokenizer.unk_id
        self.added = self._inner.added
        self.encode_prompt, self.decode = self._inner.encode_prompt, self._inner.decode
        self.is_text, self.expand_image = self._inner.is_text, self._inner.expand_image

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without any at its beginning or end."""
        return self._inner.encode(text, bos=False)

    def word(self, id: int) -> str:
        """See ElisaTokenizer."""
        return self.decode([id]).strip() or f"row {id}"

    def render(self, turns: Sequence[tuple[str, str | None]], *, exact: bool = False) -> str:
        """See ElisaTokenizer; the packaged template keeps the blanks of answers anyway."""
        return self._template.render([(_with_image(question), answer) for question, answer in turns])


def _with_image(question: str) -> str:
    return question.replace(IMAGE_WORD, image_block(True), 1)


class PackagedLlava(nn.Module):
    """What an ElisaNetwork asks of transformers' LLaVA."""

    def __init__(self, lisa: LisaNetwork) -> None:
        super().__init__()
        self.lisa = lisa
        self.config = SimpleNamespace(text_config=lisa.model.config, vision_feature_layer=-1)

    @property
    def model(self) -> SimpleNamespace:
        """Where the language model is."""
        return SimpleNamespace(language_model=self.lisa.model)

    @property
    def lm_head(self) -> nn.Module:
        """The head."""
        return self.lisa.lm_head

    def get_input_embeddings(self) -> nn.Module:
        """The embedding."""
        return self.lisa.model.embed_tokens

    def set_attn_implementation(self, implementation: str) -> None:
        """See transformers."""
        self.lisa.set_attention(implementation)


class PackagedElisa(ElisaNetwork):
    """An ELISA on the packaged model. Rows of masks begin with the mean and the deviation that words' rows have."""

    def __init__(self, lisa: LisaNetwork, tokenizer: PackagedElisaTokenizer) -> None:
        words = lisa.model.embed_tokens.weight.detach()
        adapter = MlpAdapter(lisa.config.sam.prompt_embed_dim, lisa.config.hidden_size)
        with torch.no_grad():
            adapter.mean_emb.copy_(words.mean(dim=0))
            adapter.std_emb.copy_(words.std(dim=0))
        super().__init__(
            PackagedLlava(lisa), adapter, image_id=tokenizer.image_id, first_candidate=tokenizer.first_candidate
        )

    def visual_tokens(self, pixels: Tensor) -> Tensor:
        """See ElisaNetwork; images are preprocessed for Segment Anything."""
        lisa = self.llava.lisa
        with torch.no_grad():
            features = lisa.encode_image(pixels)
        return lisa.visual_tokens(features, None)


class MaskEmbedder:
    """What stands for AlphaCLIP: features of the packaged, frozen image encoder.

    Args:
        lisa: The packaged model.
        kind: See ChooserConfig.embedding.
    """

    def __init__(self, lisa: LisaNetwork, kind: str) -> None:
        self._lisa, self._kind = lisa, kind

    @torch.no_grad()
    def __call__(self, image: np.ndarray, masks: np.ndarray) -> Tensor:
        """(K, D) float32 embeddings of length 1 of masks (K, H, W) bool of an image (H, W, 3) uint8."""
        if not len(masks):
            return torch.zeros((0, self._lisa.config.sam.prompt_embed_dim))
        if self._kind == "masked_pooling":
            (features,) = self._lisa.encode_image(normalise(image)[None]).embedding
            weights = _shares(masks, features.shape[-1])
            pooled = torch.einsum("kyx,cyx->kc", weights, features) / weights.sum((1, 2)).clamp(min=1e-6)[:, None]
            return F.normalize(pooled, dim=-1)
        shown = torch.stack([normalise(np.where(mask[..., None], image, _GREY)) for mask in masks])
        maps = torch.cat([self._lisa.encode_image(part).embedding for part in shown.split(_AT_ONCE)])
        rows = maps.shape[-1] * image.shape[0] // image.shape[1]  # what lies below the image is padding
        return F.normalize(maps[:, :, :rows].mean(dim=(2, 3)), dim=-1)


def _shares(masks: np.ndarray, grid: int) -> Tensor:
    """(K, grid, grid) share of each cell that a mask covers; the image lies at the top of a square."""
    count, height, width = masks.shape
    square = torch.zeros(count, 1, width, width)
    square[:, 0, :height] = torch.from_numpy(np.ascontiguousarray(masks)).float()
    return F.adaptive_avg_pool2d(square, grid)[:, 0]


class PackagedElisaModel(ElisaModel):
    """The model that answers, with the mask embeddings of this comparison."""

    embedder: MaskEmbedder

    def _embeddings(self, image: np.ndarray, masks: np.ndarray) -> Tensor:
        return self.embedder(image, masks)


def base_parts(
    checkpoint: Checkpoint, system: ChooserConfig
) -> tuple[PackagedElisa, PackagedElisaTokenizer, MaskEmbedder]:
    """Network, tokenizer and embedder of an ELISA on a loaded checkpoint; equal each time."""
    lisa = checkpoint.network
    tokenizer = PackagedElisaTokenizer(checkpoint.tokenizer, lisa.config.template)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PackagedElisa(lisa, tokenizer), tokenizer, MaskEmbedder(lisa, system.embedding)
