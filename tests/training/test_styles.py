"""Training in the style of the network: what is absent is learnt from, also where a whole picture has nothing."""

import json

import numpy as np
import pytest
import torch
import yaml
from golden_variants import ROOT

from lisa_ros import Lisa
from lisa_ros.errors import ConfigurationError
from lisa_ros.model.checkpoint import load
from lisa_ros.model.styles import get_style
from lisa_ros.types import Sample, TruthTarget, Turn
from training.__main__ import main
from training.config.sections import DataConfig, DatasetGroupConfig, LoraConfig, ModelConfig
from training.data.collate import Collator
from training.data.hybrid import DatasetGroup, HybridStream, swapped_phrase
from training.data.items import Renderer, TrainingItem
from training.data.sources import open_items
from training.errors import BadItemError
from training.model.base import extend_tokenizer, load_base, style_of
from training.model.lora import prepare
from training.model.objective import LisaObjective

pytestmark = pytest.mark.unit
GSVA = ROOT / "tests" / "golden" / "gsva_tiny"
LISA = ROOT / "tests" / "golden" / "c_tiny"
META = json.loads((GSVA / "oracle_meta.json").read_text())
OPTIONS = {"vision_tower": str(GSVA / "clip_tiny"), "sam": META["sam"]}


@pytest.fixture(scope="module")
def gsva():
    return load(GSVA / "gsva_hf", **OPTIONS)


def collator(checkpoint):
    return Collator(
        checkpoint.tokenizer, checkpoint.network.config, visual_tokens=META["num_image_tokens"],
        clip=checkpoint.network.vision_tower.preprocess, max_length=1024, use_ignore=True,
    )  # fmt: skip


def sample(*phrases, present=True, source="one"):
    mask = np.eye(8, dtype=bool) if present else None
    turns = tuple(Turn(phrase, (TruthTarget(phrase, mask),), "[SEG].") for phrase in phrases)
    return Sample(np.zeros((8, 8, 3), np.uint8), turns, source)


def test_a_picture_without_any_of_its_phrases_is_learnt_from(gsva):
    """The official code draws another sample instead, and its model cannot take this one."""
    item = Renderer(style=get_style("gsva"))(sample("a zebra", "a tree", present=False), "k", np.random.default_rng(0))
    assert item.masks.shape == (2, 8, 8) and not item.masks.any()
    checkpoint = load(GSVA / "gsva_hf", **OPTIONS)
    prepare(checkpoint.network, LoraConfig(4, 16, 0.0), ("lm_head",))
    objective = LisaObjective(checkpoint.network).train()
    batch = collator(checkpoint)([item])
    assert batch.kinds == (("REJ", "REJ"),)
    losses = objective(batch)
    losses.loss.backward()
    rej = checkpoint.tokenizer.added["[REJ]"]
    assert torch.isfinite(losses.loss) and checkpoint.network.lm_head.weight.grad[rej].any()


def test_ignored_pixels_stay_ignored(gsva):
    ignore = np.zeros((8, 8), bool)
    ignore[:4] = True
    with_ignore = Sample(sample("x").image, sample("x").turns, "one", ignore)
    item = Renderer(style=get_style("gsva"))(with_ignore, "k", np.random.default_rng(0))
    (valid,) = collator(gsva)([item]).valid
    assert torch.equal(valid, torch.from_numpy(~ignore))


@pytest.mark.parametrize(
    ("answer", "masks", "message"),
    [
        ("Sure,a:[SEG], b:[REJ].", [True], r"2 \[SEG\] or \[REJ\] for 1 masks"),
        ("Sure,a:[SEG], b:[REJ].", [True, True], "a target that the answer rejects has a mask"),
        ("Sure, nothing.", [True], r"0 \[SEG\] or \[REJ\] for 1 masks"),
    ],
)
def test_masks_belong_to_tokens(gsva, answer, masks, message):
    item = TrainingItem(
        np.zeros((8, 8, 3), np.uint8), ((("What are a, b?", answer),),), np.array([np.full((8, 8), m) for m in masks]),
        None, "here", "k",
    )  # fmt: skip
    with pytest.raises(BadItemError, match=message):
        collator(gsva).check(item)


class Phrases:
    """A data set of pictures with one phrase each."""

    source = "phrases"

    def __init__(self, *phrases):
        self.phrases = phrases

    def __len__(self):
        return len(self.phrases)

    def __getitem__(self, index):
        if self.phrases[index] == "damaged":
            raise ConfigurationError("the picture is damaged")
        return sample(self.phrases[index])

    def key(self, index):
        return str(index)


def stream(share, *phrases):
    groups = {"a": DatasetGroup(1, (Phrases(*phrases),))}
    return HybridStream(groups, Renderer(style=get_style("gsva")), 0, swapped_phrases=share)


def test_phrases_are_swapped_between_pictures():
    data = stream(0.5, "the red mug", "a fork", "the green mug")
    items = [data[number] for number in range(200)]
    swapped = [item for item in items if len(item.masks) == 2]
    assert 0.2 < len(swapped) / len(items) < 0.5
    for item in swapped:
        question, answer = item.conversations[0][0]
        assert answer.count("[REJ]") == answer.count("[SEG]") == 1
        assert sum(mask.any() for mask in item.masks) == 1
        # "the red mug" may be what "the green mug" means to somebody: they share a word.
        assert ("fork" in question) and ("mug" in question)
    first = [answer.index("[REJ]") < answer.index("[SEG]") for item in swapped for _, answer in item.conversations[0]]
    assert {True, False} == set(first)  # not always the last one
    again = stream(0.5, "the red mug", "a fork", "the green mug")
    assert [again[number].conversations for number in range(50)] == [item.conversations for item in items[:50]]


def test_without_a_share_nothing_is_drawn():
    plain, zero = stream(0.0, "a mug", "a fork"), stream(0.0, "a mug", "a fork")
    assert all(len(plain[number].masks) == 1 for number in range(30))
    assert plain[3].conversations == zero[3].conversations


def test_a_damaged_picture_that_was_to_give_a_phrase_is_named():
    data = stream(1.0, "a mug", "damaged")
    reasons = set()
    for number in range(40):
        try:
            data[number]
        except BadItemError as error:
            reasons.add(str(error))
    assert reasons == {"phrases 1: the picture is damaged"}


def test_swapped_phrases_are_names_of_what_is_there():
    rng = np.random.default_rng(0)
    assert swapped_phrase(sample("the mug"), sample("a Mug"), rng) == []
    assert swapped_phrase(sample("the mug"), sample("a fork", present=False), rng) == []
    ((turn),) = swapped_phrase(sample("the mug"), sample("a fork"), rng)
    assert turn.question == "a fork" and turn.targets[0].mask is None


def test_new_networks_of_a_style_get_its_tokens(tmp_path):
    config = ModelConfig(str(GSVA / "llava_base"), style="gsva", sam_checkpoint=str(GSVA / "sam_tiny.pth"), **OPTIONS)
    assert style_of(config).name == "gsva"
    checkpoint = load_base(config, tmp_path, torch.float32, 0)
    assert checkpoint.tokenizer.added == {"[SEG]": 440, "[REJ]": 441, "<im_start>": 442, "<im_end>": 443}
    assert checkpoint.network.config.style == "gsva" and checkpoint.network.config.vocab_size == 444
    assert checkpoint.tokenizer.encode("a [SEG]", bos=False) != [checkpoint.tokenizer.encode("a")[1], 440]
    again = extend_tokenizer(tmp_path, tmp_path / "again", ("[SEG]", "[REJ]", "<im_start>", "<im_end>"))
    assert again.added == checkpoint.tokenizer.added


def test_the_style_of_a_checkpoint_is_told_without_its_weights():
    assert style_of(ModelConfig(str(GSVA / "gsva_hf"))).name == "gsva"
    assert style_of(ModelConfig(str(LISA / "lisa_hf"))).name == "lisa"
    assert style_of(ModelConfig(str(GSVA / "llava_base"))).name == "lisa"
    with pytest.raises(ConfigurationError, match="style 'x' is not known"):
        style_of(ModelConfig("anything", style="x"))


def test_items_are_rendered_in_the_style(gsva):
    data = DataConfig({"r": DatasetGroupConfig(1, ("grefcoco",))}, GSVA / "datasets", max_turns=5)
    items = open_items(data, 0, get_style("gsva"))
    answers = [items[number].conversations[0][0][1] for number in range(30)]
    assert any("[REJ]" in answer for answer in answers) and any("[SEG]" in answer for answer in answers)
    check = collator(gsva)
    for number in range(30):
        check.check(items[number])


def test_the_recipe_trains_a_model_that_can_be_asked(tmp_path):
    """From LLaVA and Segment Anything, on small data: two steps, validation, merge, a query for several phrases."""
    values = yaml.safe_load((ROOT / "config" / "training" / "gsva.yaml").read_text())
    values["run_dir"] = str(tmp_path / "run")
    values["model"] |= {"source": str(GSVA / "llava_base"), "sam_checkpoint": str(GSVA / "sam_tiny.pth"), **OPTIONS}
    values["data"] |= {"root": str(GSVA / "datasets")}
    values["data"]["groups"] = {"refer_seg": {"weight": 3, "sets": ["grefcoco", "refcoco"]}}
    values["batch"] |= {"steps": 2, "batch_size": 1, "accumulation": 2, "workers": 0}
    values["optimizer"] |= {"warmup_steps": 1}
    values["devices"] |= {"precision": "fp32"}
    values["validation"] |= {"data": ["grefcoco|unc|val"], "every": 2, "pictures": 0}
    path = tmp_path / "gsva.yaml"
    path.write_text(yaml.safe_dump(values))
    assert main(["train", "--config", str(path)]) == 0
    assert main(["merge", "--config", str(path), "--out", str(tmp_path / "merged")]) == 0
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["style"] == "gsva"
    lisa = Lisa.from_pretrained(tmp_path / "merged", vision_tower=OPTIONS["vision_tower"], device="cpu")
    found = lisa.segment_phrases(lisa.encode(np.zeros((48, 64, 3), np.uint8)), ["a mug", "a fork"])
    assert [target.phrase for target in found.targets] == ["a mug", "a fork"]
    assert all(0 < target.probability < 1 for target in found.targets)


@pytest.mark.parametrize("style", ["lisa", "gsva", "sesame", "cores", "instances"])
def test_several_questions_become_one_conversation(style):
    """The same questions, answers and masks, in one conversation instead of several."""
    asked = sample("a mug", "a fork", "a plate")
    apart = Renderer(style=get_style(style))(asked, "k", np.random.default_rng(5))
    together = Renderer(style=get_style(style), multi_turn=1.0)(asked, "k", np.random.default_rng(5))
    assert len(together.conversations) == 1
    assert together.conversations[0] == sum(apart.conversations, ())
    assert np.array_equal(together.masks, apart.masks)
    drawn = Renderer(style=get_style("lisa"), multi_turn=0.5)
    counts = [len(drawn(asked, "k", np.random.default_rng(seed)).conversations) for seed in range(60)]
    assert 15 < counts.count(1) < 45 and counts.count(1) + counts.count(3) == 60


def test_each_turn_of_a_conversation_is_learnt(gsva):
    item = Renderer(style=get_style("lisa"), multi_turn=1.0)(sample("a mug", "a fork"), "k", np.random.default_rng(0))
    batch = collator(gsva)([item])
    seg = gsva.tokenizer.seg_id
    assert batch.labels.shape[0] == 1 and int((batch.labels == seg).sum()) == 2
    assert [int(batch.labels[row, position + 1]) for row, position in batch.states.tolist()] == [seg, seg]
    assert batch.kinds == (("SEG", "SEG"),)


def test_a_share_out_of_range_is_named():
    with pytest.raises(ConfigurationError, match=r"multi_turn is 1\.5; it must be within 0\.\.1"):
        Renderer(multi_turn=1.5)
