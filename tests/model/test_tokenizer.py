"""Token ids and prompts, equal to those of the official code."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.errors import CheckpointError, ConfigurationError
from lisa_ros.model.prompts import get_template, image_block, question_about_image
from lisa_ros.model.styles import get_style
from lisa_ros.model.tokenizer import IMAGE_TOKEN_ID, LisaTokenizer

pytestmark = pytest.mark.unit
TOKENIZER = Path(__file__).parents[1] / "golden" / "c_tiny" / "lisa_hf"


def test_strings(variant):
    for case in variant.json("tokenizer")["tricky"]:
        assert variant.tokenizer.encode(case["text"]) == case["ids"], case["text"]
        assert variant.tokenizer.encode(case["text"], bos=False) == case["ids_no_special"], case["text"]
        assert variant.tokenizer.decode(case["ids"]) == case["decoded"], case["text"]
        assert variant.tokenizer.decode(case["ids"], skip_special_tokens=True) == case["decoded_skip"], case["text"]


def test_vocabulary(variant):
    expected = variant.json("tokenizer")
    tokenizer = variant.tokenizer
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == tuple(expected[k] for k in ("bos", "eos", "unk"))
    assert tokenizer.seg_id == variant.meta["seg_token_idx"]
    assert len(tokenizer) == expected["len"]
    assert tokenizer.added == expected["added_tokens_encoder"]
    assert get_style("lisa").kinds(tokenizer) == {tokenizer.seg_id: "SEG"}


def test_prompts(variant):
    for case in variant.json("tokenizer")["chat_prompts"]:
        question = question_about_image(case["text"], case["use_mm_start_end"])
        prompt = get_template(case["conv_type"]).render([(question, None)])
        assert prompt == case["prompt"]
        assert variant.tokenizer.encode_prompt(prompt) == case["input_ids"]


def test_conversations(variant):
    """Every dialogue of the training batches: prompt string, and ids as far as the batch was not truncated."""
    arrays = variant.arrays("collate")
    for case in variant.json("collate"):
        template = get_template(case["key"].split("/")[0])
        dialogues = [dialogue for image in case["turns"] for dialogue in image]
        for row, (dialogue, expected) in enumerate(zip(dialogues, case["conversation_list"], strict=True)):
            texts = [text.replace("<image>", image_block(True)) for text in dialogue]
            prompt = template.render(list(zip(texts[::2], texts[1::2], strict=True)))
            assert prompt == expected
            ids = arrays[f"{case['key']}/input_ids"][row][arrays[f"{case['key']}/attention_masks"][row]].tolist()
            assert variant.tokenizer.encode_prompt(prompt)[: len(ids)] == ids


def test_validation_prompts(variant):
    """The mask-only question, up to the [SEG] of the teacher-forced answer."""
    lisa = variant.lisa
    words = lisa.network.config.mask_query
    for dataset, cases in variant.json("validate").items():
        for index, sample in enumerate(cases["samples"] if dataset != "metric" else ()):
            for row, conversation in enumerate(sample["conversations"]):
                question = conversation.split("<im_end>\n")[1].split(" ASSISTANT:")[0].split(" [/INST]")[0]
                kind = "phrase" if question.startswith(" What is ") and " in this image?" in question else "sentence"
                before, after = words[kind].split("{text}")
                assert question.startswith(before) and question.endswith(after)
                text = question.removeprefix(before).removesuffix(after)
                template = get_template("llava_llama_2" if "[/INST]" in conversation else "llava_v1")
                prompt = template.render([(lisa.model.first_question(words[kind].replace("{text}", text)), None)])
                expected = variant.arrays("validate")[f"{dataset}/{index}/input_ids"][row].tolist()
                assert variant.tokenizer.encode_prompt(prompt) == expected[: expected.index(variant.tokenizer.seg_id)]


def test_expand_image():
    assert LisaTokenizer.expand_image([1, IMAGE_TOKEN_ID, 2], 3) == [1, *[IMAGE_TOKEN_ID] * 3, 2]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="▁")))
def test_text_survives(text):
    tokenizer = LisaTokenizer.from_directory(TOKENIZER)
    if not tokenizer.added.keys() & {text} and "<" not in text and "[" not in text:
        assert tokenizer.decode(tokenizer.encode(text, bos=False)) == text


@pytest.fixture
def directory(tmp_path):
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        shutil.copy(TOKENIZER / name, tmp_path)
    return tmp_path


def test_added_tokens_of_newer_files(directory):
    """Libraries of today write added tokens to tokenizer_config.json."""
    added = json.loads((directory / "added_tokens.json").read_text())
    (directory / "added_tokens.json").unlink()
    config = json.loads((directory / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {str(id): {"content": text} for text, id in added.items()}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    assert LisaTokenizer.from_directory(directory).added == added


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer_config.json"])
def test_missing_file(directory, name):
    (directory / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        LisaTokenizer.from_directory(directory)


def test_seg_split_in_several_ids(directory):
    (directory / "added_tokens.json").write_text('{"<im_start>": 441, "<im_end>": 442}')
    with pytest.raises(CheckpointError, match=r"\[SEG\] must be one token.*added_tokens\.json"):
        LisaTokenizer.from_directory(directory)


def test_added_id_inside_the_vocabulary(directory):
    (directory / "added_tokens.json").write_text('{"[SEG]": 7}')
    with pytest.raises(CheckpointError, match=r"\[SEG\] has id 7"):
        LisaTokenizer.from_directory(directory)


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_damaged_json(directory, content):
    (directory / "added_tokens.json").write_text(content)
    with pytest.raises(CheckpointError, match="added_tokens"):
        LisaTokenizer.from_directory(directory)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("added_tokens.json", {"[SEG]": 440, "<im_start>": 440}, r"\[SEG\] and <im_start> have one id, 440"),
        ("added_tokens.json", {"[SEG]": 440, "": 441}, "must have a text"),
        ("special_tokens_map.json", {"unk_token": 5}, r"special_tokens_map\.json: unk_token .* 5"),
        ("special_tokens_map.json", {"bos_token": {"rstrip": True}}, r"special_tokens_map\.json: bos_token .* None"),
        ("special_tokens_map.json", {"bos_token": ["<s>"]}, r"special_tokens_map\.json: bos_token"),
        ("special_tokens_map.json", {"bos_token": "</s>"}, "one of its own"),
        ("tokenizer_config.json", {"unk_token": 5}, "tokenizer_config.json: unk_token"),
        ("tokenizer_config.json", {"added_tokens_decoder": []}, None),
        ("tokenizer_config.json", {"added_tokens_decoder": ["a"]}, "added_tokens_decoder is not a table"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"440": 7}}, "added_tokens_decoder is not a table"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"440": {}}}, "added_tokens_decoder is not a table"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {"content": "x"}}}, "is not a table"),
    ],
)
def test_tokens_of_another_form_are_named(directory, name, content, reason):
    if name == "tokenizer_config.json":
        (directory / "special_tokens_map.json").unlink()
    (directory / name).write_text(json.dumps(content))
    if reason is None:
        LisaTokenizer.from_directory(directory)
        return
    with pytest.raises(CheckpointError, match=reason):
        LisaTokenizer.from_directory(directory)


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer_config.json", "added_tokens.json"])
def test_file_that_cannot_be_read_is_named(directory, name):
    (directory / name).unlink()
    (directory / name).mkdir()
    with pytest.raises(CheckpointError, match=f"{name} cannot be read"):
        LisaTokenizer.from_directory(directory)


def test_damaged_model(directory):
    path = directory / "tokenizer.model"
    # Two pieces that are the same and no UTF-8: sentencepiece's own message then cannot be decoded.
    twice = re.sub(rb"\n\x02[a-z]{2}", b"\n\x02\xff\xfe", path.read_bytes(), count=2)
    for content, reason in ((b"not a model", "not a sentencepiece model"), (twice, "not a"), (b"", "is empty")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"tokenizer\.model.*{reason}"):
            LisaTokenizer.from_directory(directory)


def test_plain_template_has_no_system_sentence():
    assert get_template("plain").render([("a", "b"), ("c", None)]) == "USER: a ASSISTANT: b</s>USER: c ASSISTANT:"


def test_unknown_template():
    with pytest.raises(ConfigurationError, match=r"'vicuna'.*llava_v1"):
        get_template("vicuna")
