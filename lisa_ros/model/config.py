"""config.json of a LISA checkpoint, typed: the published keys, and those that this project adds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.checks import check_positive, check_rotary_width, check_switch, check_whole, check_word
from lisa_ros.model.config_keys import check_lisa_keys
from lisa_ros.model.files import read_json
from lisa_ros.model.layouts import check_layout
from lisa_ros.model.mask2former import Mask2FormerSizes
from lisa_ros.model.prompts import ConversationTemplate, get_template
from lisa_ros.model.proposal_config import ProposalHeadConfig
from lisa_ros.model.rope import check_factors, check_rope_scaling, read_rope
from lisa_ros.model.sam_config import SamConfig
from lisa_ros.model.styles import DEFAULT_STYLE, get_style
from lisa_ros.types import LOC

SHARED_TOWER = "sam_image_encoder"
PROJECTORS = ("linear", "mlp2x_gelu")


@dataclass(frozen=True)
class LisaConfig:
    """Everything that defines the network besides its weights.

    sam: sizes of the Segment Anything part; published files do not hold them, the loader reads them off the weights. Or
        those of a Mask2Former in its place, which config.json has under `mask2former`.
    vision_tower: name or path of a CLIP vision tower, or "sam_image_encoder": the visual tokens of the language model
        are then SAM's image embedding beside its positional encoding, cell by cell in row-major order, and there is no
        second encoder.
    mm_hidden_size: width of the visual tokens before the projector. mm_vision_select_layer: the CLIP layer read.
    unfreeze_mm_vision_tower: the vision tower was trained too, and its weights are the checkpoint's own.
    style: how prompts and answers are worded and grounded, see `lisa_ros.model.styles`.
    system_prompt: the text in front of the first question, in place of the template's.
    mask_query: the question of the mask-only mode for a "phrase" and for a "sentence", with `{text}` for the words, and
        if it is another one than the style's, the "answer" that is expected to them; None for the style's.
    proposal_head: sizes and rule of the parts that choose among proposals; None where masks are drawn.
    answer_words: words, in lower case, that generated answers consist of, beside those of the prompt; None for any.
    seg_threshold: mask-only mode answers "not there" where the probability of [SEG] is below it; 0 never refuses.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    sam: SamConfig | Mask2FormerSizes
    num_key_value_heads: int | None = None
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rope_scaling: Mapping[str, object] | None = None
    tie_word_embeddings: bool = False
    vision_tower: str = "openai/clip-vit-large-patch14"
    mm_hidden_size: int = 1024
    mm_vision_select_layer: int = -2
    mm_projector_type: str = "linear"
    mm_use_im_start_end: bool = True
    unfreeze_mm_vision_tower: bool = False
    conv_type: str = "llava_v1"
    style: str = DEFAULT_STYLE
    system_prompt: str | None = None
    mask_query: Mapping[str, str] | None = None
    answer_words: tuple[str, ...] | None = None
    seg_threshold: float = 0.0
    proposal_head: ProposalHeadConfig | None = None

    def __post_init__(self) -> None:
        if self.mask_query is None:
            object.__setattr__(self, "mask_query", dict(get_style(self.style).mask_query))
        self._check_types()
        self._check_language_model()
        get_template(self.conv_type)
        if self.mm_projector_type not in PROJECTORS:
            raise ConfigurationError(
                f"mm_projector_type {self.mm_projector_type!r} is not supported; there are {', '.join(PROJECTORS)}"
            )
        if not isinstance(self.mm_vision_select_layer, int) or self.mm_vision_select_layer >= 0:
            raise ConfigurationError(
                f"mm_vision_select_layer is {self.mm_vision_select_layer!r}; it counts from the end and must be a "
                "negative whole number"
            )
        if not isinstance(self.seg_threshold, int | float) or not 0 <= self.seg_threshold < 1:
            raise ConfigurationError(f"seg_threshold is {self.seg_threshold!r}; it must be in [0, 1)")
        for kind in ("phrase", "sentence"):
            query = self.mask_query.get(kind) if isinstance(self.mask_query, Mapping) else None
            if not isinstance(query, str) or "{text}" not in query:
                raise ConfigurationError(f"mask_query must have a {kind!r} with {{text}} in it")
        if "answer" in self.mask_query:
            check_word("mask_query's answer", self.mask_query["answer"])
        for word in self.answer_words or ():
            if not isinstance(word, str) or not re.fullmatch(r"\w+", word) or word != word.lower():
                raise ConfigurationError(f"answer_words has {word!r}; each must be one word in lower case")
        if self.shares_image_encoder and self.unfreeze_mm_vision_tower:
            raise ConfigurationError(f"unfreeze_mm_vision_tower must be false when vision_tower is {SHARED_TOWER!r}")
        shared_width = 2 * self.sam.prompt_embed_dim
        if self.shares_image_encoder and self.mm_hidden_size != shared_width:
            raise ConfigurationError(
                f"mm_hidden_size {self.mm_hidden_size} must be {shared_width}, twice sam.prompt_embed_dim, "
                f"when vision_tower is {SHARED_TOWER!r}"
            )

    def _check_types(self) -> None:
        for name in (*_REQUIRED_KEYS, "max_position_embeddings", "mm_hidden_size"):
            check_whole(name, getattr(self, name))
        for name in ("rms_norm_eps", "rope_theta"):
            check_positive(name, getattr(self, name))
        for name in ("tie_word_embeddings", "mm_use_im_start_end", "unfreeze_mm_vision_tower"):
            check_switch(name, getattr(self, name))
        for name in ("vision_tower", "mm_projector_type", "conv_type", "style"):
            check_word(name, getattr(self, name))
        if self.system_prompt is not None and not isinstance(self.system_prompt, str):
            raise ConfigurationError(f"system_prompt is {self.system_prompt!r}; it must be text")
        self._check_proposal_head()
        if isinstance(self.sam, Mask2FormerSizes):
            self._check_mask2former()

    def _check_mask2former(self) -> None:
        style = get_style(self.style)
        if style.chooses or LOC in style.tokens.values():
            raise ConfigurationError(f"style {self.style} needs Segment Anything; Mask2Former cannot take its place")
        if self.shares_image_encoder:
            raise ConfigurationError(f"vision_tower {SHARED_TOWER!r} needs Segment Anything; name a CLIP")

    def _check_proposal_head(self) -> None:
        if get_style(self.style).chooses != (self.proposal_head is not None):
            raise ConfigurationError(
                f"style {self.style} {'needs' if self.proposal_head is None else 'has no'} proposal_head"
            )
        if self.proposal_head is not None and self.proposal_head.dim != self.sam.prompt_embed_dim:
            raise ConfigurationError(
                f"proposal_head.dim {self.proposal_head.dim} must be sam.prompt_embed_dim {self.sam.prompt_embed_dim}: "
                "one projection of [SEG] serves both"
            )

    def _check_language_model(self) -> None:
        heads, kv_heads = self.num_attention_heads, self.num_key_value_heads
        check_rotary_width("hidden_size", self.hidden_size, "num_attention_heads", heads)
        if kv_heads is not None:
            check_whole("num_key_value_heads", kv_heads)
            if heads % kv_heads:
                raise ConfigurationError(
                    f"num_attention_heads {heads} must be a multiple of num_key_value_heads {kv_heads}"
                )
        if self.rope_scaling:
            self._check_rope_scaling()

    def _check_rope_scaling(self) -> None:
        check_rope_scaling(self.rope_scaling)
        check_factors(self.rope_scaling, self.hidden_size // self.num_attention_heads)
        try:
            LlamaRotaryEmbedding(self.llama())
        except (StrictDataclassError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise ConfigurationError(f"rope_scaling {dict(self.rope_scaling)} cannot be used: {error}") from error

    @property
    def shares_image_encoder(self) -> bool:
        """The visual tokens come from SAM's image encoder."""
        return self.vision_tower == SHARED_TOWER

    @property
    def template(self) -> ConversationTemplate:
        """How turns become a prompt."""
        return get_template(self.conv_type).with_system(self.system_prompt)

    def llama(self) -> LlamaConfig:
        """The language model's configuration for transformers."""
        rope = {"rope_type": "default", "rope_theta": self.rope_theta}
        if self.rope_scaling:
            scaling = dict(self.rope_scaling)
            scaling["rope_type"] = scaling.pop("type", scaling.get("rope_type", "default"))
            rope |= scaling
        return LlamaConfig(
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            vocab_size=self.vocab_size,
            rms_norm_eps=float(self.rms_norm_eps),
            max_position_embeddings=self.max_position_embeddings,
            rope_parameters=rope,
            tie_word_embeddings=self.tie_word_embeddings,
            attn_implementation="sdpa",
        )

    def to_dict(self) -> dict[str, object]:
        """The keys of config.json: those of published files, `sam` and the other extensions of this project."""
        return {
            "architectures": ["LISAForCausalLM"],
            "model_type": "llava",
            "hidden_act": "silu",
            **{name: getattr(self, name) for name in _PLAIN_KEYS},
            "mm_vision_tower": self.vision_tower,
            "mm_vision_select_feature": "patch",
            "use_mm_proj": True,
            "out_dim": self.sam.prompt_embed_dim,
            "train_mask_decoder": True,
            "sam": self.sam.to_dict() if isinstance(self.sam, SamConfig) else None,
            "mask2former": self.sam.to_dict() if isinstance(self.sam, Mask2FormerSizes) else None,
            "rope_scaling": dict(self.rope_scaling) if self.rope_scaling else None,
            "mask_query": dict(self.mask_query),
            "answer_words": list(self.answer_words) if self.answer_words is not None else None,
            "proposal_head": self.proposal_head.to_dict() if self.proposal_head else None,
        }


_REQUIRED_KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_PLAIN_KEYS = (
    *_REQUIRED_KEYS,
    "num_key_value_heads",
    "rms_norm_eps",
    "max_position_embeddings",
    "rope_theta",
    "tie_word_embeddings",
    "vision_tower",
    "mm_hidden_size",
    "mm_vision_select_layer",
    "mm_projector_type",
    "mm_use_im_start_end",
    "unfreeze_mm_vision_tower",
    "conv_type",
    "style",
    "system_prompt",
    "seg_threshold",
)
# Read beside the plain ones.
_OTHER_KEYS = (
    *("sam", "mask2former", "proposal_head", "mask_query", "answer_words", "rope_scaling", "rope_parameters"),
    *("head_dim", "out_dim", "train_mask_decoder", "bos_token_id", "eos_token_id", "mm_tunable_parts"),
)


def read_config(path: Path) -> dict[str, object]:
    """The values of a LISA checkpoint's config.json; raises CheckpointError if it is none."""
    path = Path(path)
    check_layout({}, path.parent)  # an adapter's folder may have no config.json
    values = read_json(path)
    check_layout(values, path.parent)
    if "train_mask_decoder" not in values:
        raise CheckpointError(
            f"{path} is not a LISA checkpoint's configuration: it has no key `train_mask_decoder`. "
            "Give a merged LISA checkpoint, not its language model or an adapter"
        )
    return values


def parse_config(
    values: Mapping[str, object],
    sam: SamConfig | Mask2FormerSizes,
    path: Path,
    *,
    conv_type: str | None,
    vision_tower: str | None,
    proposal_head: ProposalHeadConfig | None = None,
) -> LisaConfig:
    """LisaConfig of config.json's `values`; the arguments replace what the file says.

    Raises CheckpointError naming what is wrong in the file: also every key that would change the computation.
    """
    check_lisa_keys(values, (*_PLAIN_KEYS, *_OTHER_KEYS), path)
    for key in _REQUIRED_KEYS:
        if not isinstance(values.get(key), int):
            raise CheckpointError(f"{path}: `{key}` is {values.get(key)!r}, it must be a whole number")
    given = {key: values[key] for key in _PLAIN_KEYS if values.get(key) is not None}
    given |= {key: values[key] for key in ("mask_query",) if values.get(key)}
    if (words := values.get("answer_words")) is not None:
        given["answer_words"] = tuple(words) if isinstance(words, list) else (words,)
    if "vision_tower" not in given and values.get("mm_vision_tower"):
        given["vision_tower"] = values["mm_vision_tower"]
    if conv_type:
        given["conv_type"] = conv_type
    if vision_tower:
        given["vision_tower"] = str(vision_tower)
    if given.get("vision_tower") == SHARED_TOWER:
        given.setdefault("mm_hidden_size", 2 * sam.prompt_embed_dim)
    try:
        given.pop("rope_theta", None)
        config = LisaConfig(sam=sam, proposal_head=proposal_head, **(given | read_rope(values)))
        _check_derived(values, config)
        return config
    except ConfigurationError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _check_derived(values: Mapping[str, object], config: LisaConfig) -> None:
    """Sizes that follow from others: a file that says otherwise describes another network."""
    for key, expected, source in (
        ("head_dim", config.hidden_size // config.num_attention_heads, "hidden_size / num_attention_heads"),
        ("out_dim", config.sam.prompt_embed_dim, "the width of Segment Anything's prompts"),
    ):
        if values.get(key) is not None and values[key] != expected:
            raise ConfigurationError(f"{key} is {values[key]!r}; only {source}, {expected}, is supported")
