"""A base as LLaVA-1.5: LLaMA with a head of its own, turns in parts, answers that end with the sequence."""

import dataclasses
import json

import pytest
import torch
from golden_variants import ROOT
from test_training_run import small
from transformers import AutoTokenizer, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from lisa_ros import Lisa
from lisa_ros.errors import CheckpointError
from lisa_ros.model.elisa.tokenizer import ElisaTokenizer
from training.elisa.batch import ElisaCollator, ElisaExample
from training.elisa.loop import train_elisa

pytestmark = pytest.mark.unit
# In the form of those of LLaVA-1.5: a turn is a list of parts, and nothing ends an answer.
TEMPLATE = (
    "{% for m in messages %}{{ m['role'].upper() + ': ' }}"
    "{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@pytest.fixture(scope="module")
def base(golden, tmp_path_factory):
    """A small LLaVA-1.5 with fresh weights, and CLIP's preprocessing of the variant's base."""
    folder = tmp_path_factory.mktemp("llava15")
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "tests" / "golden" / "c_tiny" / "lisa_hf")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<pad>"]})
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = LlamaConfig(**sizes, vocab_size=len(tokenizer) + 7, num_key_value_heads=4, tie_word_embeddings=False)
    vision = CLIPVisionConfig(**sizes, image_size=28, patch_size=7)
    image = {"image_token_id": tokenizer.convert_tokens_to_ids("<image>"), "vision_feature_layer": -2}
    torch.manual_seed(0)
    LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, tie_word_embeddings=False, **image)
    ).save_pretrained(folder)
    source = golden.directory / "llava_base" / "preprocessor_config.json"
    (folder / source.name).write_text(source.read_text())
    return folder


def test_prompts_and_labels(base):
    tokenizer = ElisaTokenizer.from_directory(base)
    assert tokenizer.end_of_turn == "</s>" and tokenizer.decode([tokenizer.eos_id]) == "</s>"
    text = tokenizer.render([("<image>\nWhat?", " <SEG_MASK_2> is it."), ("And?", None)], exact=True)
    assert text == "USER: <image>\nWhat? ASSISTANT: <SEG_MASK_2> is it. USER: And? ASSISTANT:"
    ids = tokenizer.encode_prompt(text)
    assert ids[0] == tokenizer.bos_id and ids.count(tokenizer.first_candidate + 1) == 1


def test_what_is_learnt_stands_at_the_end_of_the_input(golden, base):
    """Whatever the template writes around an answer: N labels are predicted by the last N states."""
    tokenizer, picture = ElisaTokenizer.from_directory(base), golden.image("images/img0.png")
    rows = torch.randn(2, golden.tower.embedding_dim)
    collator = ElisaCollator(tokenizer, golden.checkpoint.preprocess)
    for seed in range(6):
        draws = iter(torch.rand(9, generator=torch.Generator().manual_seed(seed)).tolist())
        batch = collator.collate(
            [ElisaExample(picture, "What?", "It is red.", rows[:1], rows[1:])], lambda d=draws: next(d), lambda n: 0
        )
        labels = batch.labels[0].tolist()
        assert labels[-1] == tokenizer.eos_id and batch.ids[0].tolist()[1 - len(labels) :] == labels[:-1]
        assert tokenizer.first_candidate in labels


def test_it_is_trained_loaded_and_asked(golden, base, tmp_path):
    config = small(golden, tmp_path, source=base)
    optimizer = dataclasses.replace(config.optimizer, epochs=1)
    assert train_elisa(dataclasses.replace(config, optimizer=optimizer), torch.device("cpu")) is not None
    values = json.loads((config.run_dir / "models" / "elisa.json").read_text())
    assert values["end_turn_token"] == "</s>"
    lisa = Lisa.from_pretrained(config.run_dir, device="cpu")
    assert lisa.network.head_adapter is not None and lisa.tokenizer.eos_id == lisa.tokenizer._base.eos_token_id
    image = golden.image("images/img0.png")
    frame = lisa.encode(image, golden.proposals("images/img0.png", 3))
    result = lisa.chat(frame, "Which half?", max_new_tokens=20)
    assert all(0 <= target.candidate.index < 3 for target in result.targets)
    talk = lisa.conversation(frame)
    talk.ask("Which half?", max_new_tokens=4)
    talk.ask("And the other?", max_new_tokens=4)


def test_a_template_that_leaves_answers_out_is_refused(base, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="chat template leaves answers out"):
        ElisaTokenizer.from_directory(tmp_path)
