"""What each key of a checkpoint's JSON files means here: used, without influence, or of one value that is supported.

A key that is none of them may change the computation: it is an error that names it, never dropped. The keys are those
that transformers 4.31 to 5, LLaVA 1 to 1.6 and LISA write. A key that is null is as if it were not there.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lisa_ros.errors import CheckpointError
from lisa_ros.model.files import read_json

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyRules:
    """harmless: keys without influence on what is computed. fixed: key -> values that mean what is computed here."""

    harmless: frozenset[str]
    fixed: Mapping[str, tuple[object, ...]]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Of transformers' base class: names, formats of outputs, heads for classification, what generation is told elsewhere.
_ANY_CONFIG = _words(
    """_commit_hash _name_or_path name_or_path architectures auto_map transformers_version torch_dtype dtype
    _attn_implementation attn_implementation _attn_implementation_autoset _attn_implementation_internal
    _experts_implementation_internal _flash_attn_2_enabled
    use_cache use_bfloat16 torchscript tf_legacy_loss return_dict use_return_dict output_attentions
    output_hidden_states finetuning_task task_specific_params problem_type num_labels id2label label2id tokenizer_class
    prefix initializer_range initializer_factor sep_token_id decoder_start_token_id tie_encoder_decoder is_decoder
    chunk_size_feed_forward pad_token_id"""
)
_ANY_FIXED = {
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({},),
    "attention_dropout": (0,),
    "quantization_config": (),  # packed weights have another layout
}
# Answers are decoded greedily, as LISA's own evaluation does it, with lengths that the caller gives.
_GENERATION = KeyRules(
    _words(
        """_from_model_config _commit_hash transformers_version pad_token_id decoder_start_token_id use_cache
        max_length max_new_tokens max_time early_stopping num_beams num_beam_groups num_return_sequences
        diversity_penalty length_penalty low_memory do_sample temperature top_k top_p top_h min_p typical_p
        epsilon_cutoff eta_cutoff renormalize_logits remove_invalid_values
        output_attentions output_hidden_states output_scores output_logits return_dict_in_generate
        encoder_no_repeat_ngram_size encoder_repetition_penalty cache_implementation cache_config max_cache_len
        return_legacy_cache prefill_chunk_size compile_config disable_compile is_assistant num_assistant_tokens
        num_assistant_tokens_schedule assistant_confidence_threshold assistant_lookbehind target_lookbehind
        assistant_early_exit prompt_lookup_num_tokens max_matching_ngram_size use_mtp"""
    ),
    {
        "min_length": (0,),
        "min_new_tokens": (0,),
        "repetition_penalty": (1,),
        "no_repeat_ngram_size": (0,),
        "bad_words_ids": ([],),
        "force_words_ids": ([],),
        "constraints": ([],),
        "suppress_tokens": ([],),
        "begin_suppress_tokens": ([],),
        "forced_bos_token_id": (),
        "forced_eos_token_id": (),
        "forced_decoder_ids": ([],),
        "exponential_decay_length_penalty": (),
        "sequence_bias": ([], {}),
        "stop_strings": ([],),
        "guidance_scale": (1,),
        "penalty_alpha": (0,),
        "dola_layers": (),
        "watermarking_config": (),
        "token_healing": (False,),
    },
)
_LISA = KeyRules(
    _ANY_CONFIG
    | _GENERATION.harmless
    # LLaMA: a way to split the same products; LLaVA: how its parts were trained and served, tokens that no prompt has
    | _words(
        """pretraining_tp max_sequence_length mm_use_im_patch_token tune_mm_mlp_adapter freeze_mm_mlp_adapter
        pretrain_mm_mlp_adapter mm_projector_lr mm_vision_tower_lr tune_mm_vision_resampler freeze_mm_vision_resampler
        tune_entire_model freeze_backbone tokenizer_padding_side tokenizer_model_max_length
        sep_image_conv_front image_crop_resolution image_split_resolution mm_vision_tower"""
    ),
    _ANY_FIXED
    | _GENERATION.fixed
    | {
        "model_type": ("llava", "llava_llama", "llama"),
        "hidden_act": ("silu", "swish"),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "partial_rotary_factor": (1,),
        "use_mm_proj": (True,),
        "mm_vision_select_feature": ("patch",),
        "mm_patch_merge_type": ("flat",),
        "mm_resampler_type": (),
        "image_aspect_ratio": ("square",),
        "image_grid_pinpoints": ([],),
        "s2": (False,),
        "use_sliding_window": (False,),
    },
)
_CLIP = KeyRules(
    _ANY_CONFIG | _GENERATION.harmless | _words("projection_dim tie_word_embeddings logit_scale_init_value"),
    _ANY_FIXED
    | _GENERATION.fixed
    | {"model_type": ("clip_vision_model",), "num_channels": (3,), "dropout": (0,)}
    | {"bos_token_id": (), "eos_token_id": ()},
)
_CLIP_USED = _words(
    """hidden_size intermediate_size num_hidden_layers num_attention_heads image_size patch_size hidden_act
    layer_norm_eps"""
)
_PREPROCESSOR = KeyRules(
    _words(
        """processor_class _processor_class _valid_processor_keys auto_map transformers_version return_tensors
        data_format input_data_format device disable_grouping default_to_square size_divisor"""
    ),
    {
        "image_processor_type": (
            *("CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPFeatureExtractor", "CLIPImageProcessorPil"),
        ),
        "feature_extractor_type": ("CLIPFeatureExtractor", "CLIPImageProcessor"),
        "do_resize": (True,),
        "do_center_crop": (True,),
        "do_rescale": (True,),
        "do_normalize": (True,),
        "do_convert_rgb": (True,),
        "do_pad": (False,),
        "resample": (3, "bicubic"),
        "rescale_factor": (1 / 255, 0.00392156862745098),
    },
)


def check_keys(values: Mapping[str, object], rules: KeyRules, used: Iterable[str], path: object) -> None:
    """Raises one CheckpointError that names every key of `values` that would change the computation."""
    given = {key: value for key, value in values.items() if value is not None}
    known = rules.harmless | set(rules.fixed) | set(used)
    problems = [
        f"`{key}` is {_short(given[key])}, {_only(allowed)}"
        for key, allowed in rules.fixed.items()
        if key in given and not any(_same(given[key], one) for one in allowed)
    ]
    problems += [f"`{key}` is not known" for key in sorted(set(given) - known)]
    if problems:
        raise CheckpointError(
            f"{path}: {'; '.join(problems)}. The network would be computed otherwise than it was trained; "
            "remove a key only if you know that it changes nothing"
        )


def check_lisa_keys(values: Mapping[str, object], used: Iterable[str], path: Path) -> None:
    """For config.json of a LISA, or of the LLaVA that one begins with. used: keys that the caller reads."""
    check_keys(values, _LISA, used, path)


def check_clip_keys(values: Mapping[str, object], source: object) -> None:
    """For a CLIP vision tower's configuration: raises CheckpointError."""
    check_keys(values, _CLIP, _CLIP_USED, source)


def check_preprocessor_keys(values: Mapping[str, object], path: Path) -> None:
    """For a vision tower's preprocessor_config.json: raises CheckpointError."""
    check_keys(values, _PREPROCESSOR, ("size", "crop_size", "image_mean", "image_std"), path)


def check_token_ids(directory: Path, config: Mapping[str, object], bos: int, eos: int) -> None:
    """Raises CheckpointError where config.json or generation_config.json begin or end answers otherwise than `bos` and
    `eos`, the tokenizer's ids, do, or ask for decoding that changes the answer. Sampling is warned of.
    """  # noqa: D205
    path = directory / "generation_config.json"
    generation = read_json(path, optional=True)
    check_keys(generation, _GENERATION, ("bos_token_id", "eos_token_id"), path)
    for file, values in ((directory / "config.json", config), (path, generation)):
        for name, expected in (("bos_token_id", bos), ("eos_token_id", eos)):
            found = values.get(name)
            if found is not None and found != expected and found != [expected]:
                raise CheckpointError(
                    f"{file}: `{name}` is {_short(found)}, the tokenizer's is {expected}; answers would begin or end "
                    "elsewhere than in training"
                )
        if values.get("do_sample"):
            _LOG.warning("%s: `do_sample` is not followed, answers are decoded greedily", file)


def _same(value: object, allowed: object) -> bool:
    """JSON's true is no number here: `s2: 0` means false, but a penalty of `true` means nothing."""
    if isinstance(value, bool) and not isinstance(allowed, bool):
        return False
    return value == allowed


def _only(allowed: tuple[object, ...]) -> str:
    if not allowed:
        return "only null is supported"
    return f"only {' or '.join(map(repr, allowed))} is supported"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
