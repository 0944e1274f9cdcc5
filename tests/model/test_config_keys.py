"""Every key of config.json and of its neighbours is used, known to change nothing, or an error that names it."""

import json

import pytest
import torch
from checkpoint_files import TINY, change_json, copy_of, load_tiny, refusal
from transformers import CLIPConfig, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

pytestmark = pytest.mark.unit


@pytest.fixture
def directory(tmp_path):
    return copy_of("lisa_hf", tmp_path)


@pytest.fixture
def tower(tmp_path):
    return copy_of("clip_tiny", tmp_path)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "default", "rope_theta": 500000.0},
        {"rope_type": "linear", "factor": 2.0, "rope_theta": 20000.0},
        {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 256},
        {
            **{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
            **{"original_max_position_embeddings": 256, "rope_theta": 500000.0},
        },
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_rope_as_transformers_5_and_4_write_it(directory, tmp_path, rope):
    """The file is written by the installed transformers; the frequencies are those of its own model."""
    sizes = {"hidden_size": 40, "num_attention_heads": 5, "max_position_embeddings": 1024}
    original = LlamaConfig(**sizes, rope_parameters=dict(rope))
    original.save_pretrained(tmp_path / "saved")
    written = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert "rope_theta" not in written and written["rope_parameters"]["rope_theta"] == rope["rope_theta"]
    change_json(directory / "config.json", remove=("rope_theta", "rope_scaling"))
    change_json(directory / "config.json", **(written | json.loads((directory / "config.json").read_text())))
    expected = LlamaRotaryEmbedding(original)
    scaling = {key: value for key, value in rope.items() if key not in ("rope_theta", "rope_type")}
    for _ in range(2):
        found = load_tiny(directory).network.model.rotary_emb
        torch.testing.assert_close(found.inv_freq, expected.inv_freq, rtol=0, atol=0)
        assert found.attention_scaling == expected.attention_scaling
        change_json(
            directory / "config.json",
            remove=("rope_parameters",),
            rope_theta=rope["rope_theta"],
            rope_scaling={"type": rope["rope_type"], **scaling} if scaling else None,
        )


def test_a_theta_in_place_of_the_default_gives_another_mask(directory):
    """What would be lost without a word if the key were dropped."""
    change_json(directory / "config.json", rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        first = load_tiny(directory).network
        expected = first.hidden_states(first.embed(ids))
        change_json(directory / "config.json", rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
        other = load_tiny(directory).network
        assert (other.hidden_states(other.embed(ids)) - expected).abs().max() > 0.01


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}, "rope_theta": 1e4}, "contradict"),
        ({"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"type": "linear", "factor": 2}}, "contradict"),
        ({"rope_parameters": {"rope_type": "default", "factor": 2.0}}, "factor, which the kind 'default' does not"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "rope_type must be one of"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5"),
        ({"rope_parameters": {"rope_type": "default", "mrope_section": [1, 2]}}, "mrope_section"),
        ({"rope_parameters": [1]}, "must be a table"),
        ({"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}}, "must be 4 numbers"),
        ({"rope_scaling": {"type": "linear", "rope_type": "dynamic", "factor": 2.0}}, "keep one"),
        ({"partial_rotary_factor": 0.5}, "`partial_rotary_factor` is 0.5"),
        ({"head_dim": 16}, "head_dim is 16"),
        ({"out_dim": 64}, "out_dim is 64"),
        ({"attention_bias": True}, "`attention_bias` is True, only False"),
        ({"mlp_bias": True}, "`mlp_bias`"),
        ({"attention_dropout": 0.1}, "`attention_dropout` is 0.1"),
        ({"sliding_window": 512}, "`sliding_window` is not known"),
        ({"layer_types": ["full_attention"]}, "`layer_types` is not known"),
        ({"num_experts": 8, "zzz": 1}, "`num_experts` is not known; `zzz` is not known"),
        ({"quantization_config": {"quant_method": "gptq"}}, "`quantization_config`"),
        ({"mm_resampler_type": "perceiver"}, "`mm_resampler_type` is 'perceiver', only null"),
        ({"mm_patch_merge_type": "spatial_unpad"}, "`mm_patch_merge_type`"),
        ({"image_aspect_ratio": "anyres"}, "`image_aspect_ratio` is 'anyres', only 'square'"),
        ({"image_aspect_ratio": "pad"}, "`image_aspect_ratio` is 'pad'"),
        ({"image_grid_pinpoints": [[336, 672]]}, "`image_grid_pinpoints`"),
        ({"s2": True, "s2_scales": "336,672"}, "`s2` is True"),
        ({"use_mm_proj": False}, "`use_mm_proj`"),
        ({"mm_spatial_pool_stride": 2}, "`mm_spatial_pool_stride` is not known"),
        ({"repetition_penalty": 1.2}, "`repetition_penalty` is 1.2"),
        ({"eos_token_id": 7}, "`eos_token_id` is 7, the tokenizer's is 2"),
        ({"model_type": "llava_qwen"}, "'llava_qwen', whose language model is not LLaMA"),
        ({"model_type": "llava_mistral"}, "'llava_mistral'"),
    ],
)
def test_keys_that_change_the_computation_are_named(directory, values, words):
    change_json(directory / "config.json", **values)
    message = refusal(directory)
    assert words in message and "\n" not in message


@pytest.mark.parametrize(
    "values",
    [
        {"unheard_of": None, "mm_resampler_type": None, "sliding_window": None, "quantization_config": None},
        {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}, "rope_theta": 10000},
        {"rope_scaling": {"rope_type": "default"}, "eos_token_id": [2], "bos_token_id": 1},
        {"pruned_heads": {}, "temperature": 0.6, "top_p": 0.9, "max_length": 4096, "dtype": "float16", "s2": False},
        {"mm_projector_lr": 2e-5, "tune_mm_vision_resampler": False, "unfreeze_mm_vision_tower": False},
        {"text_config": None, "use_sliding_window": False, "vision_config": None},
        {"model_type": "llava_llama", "tokenizer_model_max_length": 2048, "image_grid_pinpoints": []},
    ],
)
def test_keys_that_change_nothing_are_left_alone(directory, values):
    change_json(directory / "config.json", **values)
    assert load_tiny(directory).network.config == load_tiny().network.config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"repetition_penalty": 1.1}, "`repetition_penalty` is 1.1, only 1"),
        ({"no_repeat_ngram_size": 3}, "`no_repeat_ngram_size`"),
        ({"suppress_tokens": [3]}, "`suppress_tokens`"),
        ({"eos_token_id": [2, 4]}, "`eos_token_id` is [2, 4], the tokenizer's is 2"),
        ({"of_tomorrow": 1}, "`of_tomorrow` is not known"),
    ],
)
def test_decoding_that_is_not_done_is_refused(directory, values, words):
    change_json(directory / "generation_config.json", **values)
    message = refusal(directory)
    assert "generation_config.json" in message and words in message


def test_sampling_is_told_and_not_done(directory, caplog):
    change_json(directory / "generation_config.json", do_sample=True, temperature=0.6, top_p=0.9)
    load_tiny(directory)
    assert [record.message for record in caplog.records if "do_sample" in record.message] == [
        f"{directory / 'generation_config.json'}: `do_sample` is not followed, answers are decoded greedily"
    ]


@pytest.mark.parametrize(
    ("file", "values", "words"),
    [
        ("config.json", {"model_type": "siglip_vision_model"}, "`model_type` is 'siglip_vision_model'"),
        ("config.json", {"num_channels": 4}, "`num_channels` is 4"),
        ("config.json", {"vision_use_head": False}, "`vision_use_head` is not known"),
        ("config.json", {"quantization_config": {}}, "`quantization_config`"),
        ("preprocessor_config.json", {"resample": 2}, "`resample` is 2"),
        ("preprocessor_config.json", {"do_normalize": False}, "`do_normalize`"),
        ("preprocessor_config.json", {"do_center_crop": False}, "`do_center_crop`"),
        ("preprocessor_config.json", {"rescale_factor": 0.5}, "`rescale_factor`"),
        ("preprocessor_config.json", {"image_processor_type": "SiglipImageProcessor"}, "`image_processor_type`"),
        ("preprocessor_config.json", {"crop_size": {"height": 56, "width": 28}}, "its sides must be equal"),
    ],
)
def test_a_vision_tower_that_computes_otherwise_is_refused(tower, file, values, words):
    change_json(tower / file, **values)
    message = refusal(TINY / "lisa_hf", vision_tower=tower)
    assert words in message and file in message and "clip_tiny" in message


def test_the_whole_clip_as_old_and_new_transformers_describe_it(tower):
    """openai/clip-vit-large-patch14 writes every key of the base class, and the changed ones a second time."""
    vision = json.loads((tower / "config.json").read_text())
    sizes = {key: vision[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "patch_size")}
    old = {
        **{"add_cross_attention": False, "architectures": None, "bad_words_ids": None, "bos_token_id": None},
        **{"chunk_size_feed_forward": 0, "diversity_penalty": 0.0, "do_sample": False, "dropout": 0.0},
        **{"early_stopping": False, "encoder_no_repeat_ngram_size": 0, "finetuning_task": None, "is_decoder": False},
        **{"id2label": {"0": "LABEL_0"}, "is_encoder_decoder": False, "label2id": {"LABEL_0": 0}, "length_penalty": 1},
        **{"max_length": 20, "min_length": 0, "no_repeat_ngram_size": 0, "num_beam_groups": 1, "num_beams": 1},
        **{"num_return_sequences": 1, "output_attentions": False, "output_hidden_states": False, "prefix": None},
        **{"output_scores": False, "pruned_heads": {}, "remove_invalid_values": False, "repetition_penalty": 1.0},
        **{"return_dict": True, "return_dict_in_generate": False, "temperature": 1.0, "tf_legacy_loss": False},
        **{"tie_encoder_decoder": False, "tie_word_embeddings": True, "tokenizer_class": None, "top_k": 50},
        **{"top_p": 1.0, "torch_dtype": None, "torchscript": False, "typical_p": 1.0, "use_bfloat16": False},
    }
    expected = load_tiny().network.vision_tower.state_dict()
    for config in (
        {"model_type": "clip", "vision_config": vision | old, "vision_config_dict": sizes, "text_config": {}},
        CLIPConfig(vision_config=vision).to_dict(),
    ):
        (tower / "config.json").write_text(json.dumps(config, default=str))
        found = load_tiny(vision_tower=tower).network.vision_tower.state_dict()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
    (tower / "config.json").write_text(
        json.dumps({"model_type": "clip", "vision_config": vision, "vision_config_dict": {"patch_size": 7}})
    )
    assert "differ in patch_size" in refusal(TINY / "lisa_hf", vision_tower=tower)


@pytest.mark.parametrize(
    ("key", "value"),
    [("add_eos_token", True), ("add_bos_token", False), ("sp_model_kwargs", {"enable_sampling": True})],
)
def test_a_tokenizer_that_was_trained_otherwise_is_refused(directory, key, value):
    change_json(directory / "tokenizer_config.json", **{key: value})
    message = refusal(directory)
    assert "tokenizer_config.json" in message and f"`{key}`" in message


def test_a_tokenizer_of_the_newer_rules_is_told(directory, caplog):
    change_json(directory / "tokenizer_config.json", legacy=False)
    load_tiny(directory)
    assert any("`legacy` false is not followed" in record.message for record in caplog.records)
