"""What SESAME's style makes of samples and of answers: rendered training, denials and corrections read back."""

import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros import Lisa
from lisa_ros.datasets.refer import OTHER_SPLITS, ReferDataset
from lisa_ros.errors import ConfigurationError
from lisa_ros.inference.grounding_stream import GroundingStream
from lisa_ros.model.checkpoint import load
from lisa_ros.model.saving import save_pretrained
from lisa_ros.model.styles import STYLES, RenderOptions, get_style, recognise
from lisa_ros.model.styles.denial import find_denial
from lisa_ros.types import ABSENT, FALSE_PREMISE, SEGMENTED, Finished, MaskReady, Sample, TruthTarget, Turn
from training.data.items import Renderer

pytestmark = pytest.mark.unit
SESAME = get_style("sesame")
PHRASES = ("the black cat", "Red mug ", "man with a hat", "cup that is full", "left one", "second plate from the top")


def mask():
    return np.ones((4, 6), bool)


def absent(phrase="the black cat", alternative=None, answer="", sentence=False):
    there = TruthTarget(alternative, mask()) if alternative else None
    return Turn(phrase, (TruthTarget(phrase, None, alternative=there),), answer, FALSE_PREMISE, sentence)


def rendered(turn, seed, **options):
    ((one,),) = SESAME.render([turn], RenderOptions(**options), np.random.default_rng(seed))
    return one


@pytest.mark.parametrize("sentence", [False, True])
def test_a_present_target_has_one_mask_token(sentence):
    turn = Turn("The Black cat?", (TruthTarget("cat", mask()), TruthTarget("cat", mask())), "[SEG].", "", sentence)
    for seed in range(30):
        one = rendered(turn, seed)
        assert one.answer.count("[SEG]") == len(one.targets) == 1
        assert ("The Black cat?" if sentence else "the black cat?") in one.question
        assert SESAME.denial(one.answer) is None


@pytest.mark.parametrize("phrase", PHRASES)
def test_denials_are_read_back(phrase):
    wordings = set()
    for seed in range(40):
        one = rendered(absent(phrase), seed)
        wordings.add(one.answer)
        denial = SESAME.denial(one.answer)
        assert "[SEG]" not in one.answer and not one.targets
        assert denial.phrase == re.sub("^the ", "", phrase.strip().lower()) and not denial.correction
    assert len(wordings) > 3


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize("alternative", ["the brown dog", "white cup", "the man on the left"])
@pytest.mark.parametrize("with_mask", [False, True])
def test_corrections_are_read_back(phrase, alternative, with_mask):
    for seed in range(20):
        one = rendered(absent(phrase, alternative), seed, correction_masks=with_mask)
        denial = SESAME.denial(one.answer)
        assert denial.phrase == re.sub("^the ", "", phrase.strip().lower())
        assert denial.correction == alternative
        assert denial.has_mask == with_mask
        assert one.answer.count("[SEG]") == len(one.targets) == with_mask
        assert [target.phrase for target in one.targets] == [alternative] * with_mask


def test_an_alternative_without_pixels_has_no_mask_token():
    turn = absent(alternative="the dog")
    empty = TruthTarget("the dog", np.zeros((4, 6), bool))
    turn = Turn(turn.question, (TruthTarget(turn.question, None, alternative=empty),), "", FALSE_PREMISE)
    assert "[SEG]" not in rendered(turn, 0, correction_masks=True).answer


def test_the_answer_of_the_data_set_is_kept():
    one = rendered(absent("What flies?", answer="Nothing flies here, only a boat.", sentence=True), 3)
    assert one.answer == "Nothing flies here, only a boat." and not one.targets


@pytest.mark.parametrize(
    ("answer", "denied", "correction", "has_mask"),
    [
        ("There is no laptop; did you mean the phone?", "laptop", "the phone", False),
        ("No hat, but cup.", "hat", "cup", False),
        ("I cannot find a blue dog in this image.", "blue dog", "", False),
        ("The blue dog is not in this image. There is a brown dog instead.", "blue dog", "a brown dog", False),
        ("The blue dog isn\u2019t there, but I see the brown dog.", "blue dog", "the brown dog", False),
        ("There isn't a fork here. Perhaps you mean the spoon?", "fork", "the spoon", False),
        ("No, there is no red mug in the image, but there is a blue mug [SEG].", "red mug", "a blue mug", True),
        ("Unfortunately the fork is missing.", "fork", "", False),
        ("That is not in this image.", "", "", False),
        ("Nothing of the kind.", "", "", False),
        ("No.", "", "", False),
        ("The image shows no fork, only a spoon.", "fork", "a spoon", False),
        ("The sword does not appear in the picture.", "sword", "", False),
    ],
)
def test_answers_that_deny(answer, denied, correction, has_mask):
    denial = find_denial(answer, "[SEG]")
    assert (denial.phrase, denial.correction, denial.has_mask) == (denied, correction, has_mask)


@pytest.mark.parametrize(
    "answer",
    [
        "", "Sure, [SEG].", "It is the mug with no handle [SEG].", "It is not the left one, it is the right one [SEG].",
        "no problem, here it is: [SEG].", "Yes, the notebook is here: [SEG].", "A cup and a plate.", "No problem.",
        "No, it is red.", "It is not full.", "The cup has no handle.", "The fork isn't clean.", "You cannot eat it.",
    ],
)  # fmt: skip
def test_answers_that_deny_nothing(answer):
    assert find_denial(answer, "[SEG]") is None


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    denial = find_denial(text, "[SEG]")
    assert denial is None or denial.has_mask == ("[SEG]" in text)


WORDS = ["abc", "no", "not", "but", "there", "is", "the", "did", "you", "mean", "[SEG]", ",", ".", ";", "?", "only"]


@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_an_offered_mask_is_one_of_the_answer(words):
    text = " ".join(words)
    denial = find_denial(text, "[SEG]")
    assert denial is None or denial.has_mask == ("[SEG]" in text)


def test_questions_of_evaluation_are_fixed():
    prompts = SESAME.query_prompts(["the mug", "the fork"], SESAME.mask_query)
    assert [prompt.phrases for prompt in prompts] == [("the mug",), ("the fork",)]
    assert {prompt.answer for prompt in prompts} == {None}
    assert "the fork" in prompts[1].question
    assert prompts == SESAME.query_prompts(["the mug", "the fork"], SESAME.mask_query)


def test_a_checkpoint_is_told_by_its_architecture_or_by_name(tiny, tmp_path):
    assert recognise({"architectures": ["SESAMEForCausalLM"]}, {"[SEG]"}, "x").name == "sesame"
    assert recognise({"architectures": ["LlavaLlamaForCausalLM"]}, {"[SEG]"}, "x").name == "lisa"
    options = {"vision_tower": tiny.directory / "clip_tiny", "sam": tiny.meta["sam"]}
    told = load(tiny.checkpoint, style="sesame", **options)
    save_pretrained(told.network, tiny.checkpoint, tmp_path / "saved")
    again = load(tmp_path / "saved", **options)
    assert again.network.style is SESAME and again.network.config.conv_type == "vicuna_v1"
    assert dict(again.network.config.mask_query) == dict(SESAME.mask_query)
    for (name, one), (_, other) in zip(
        told.network.state_dict().items(), again.network.state_dict().items(), strict=True
    ):
        assert one.equal(other), name


def test_corrections_have_masks_only_where_the_style_corrects():
    Renderer(style=SESAME, correction_masks=True)
    with pytest.raises(ConfigurationError, match="style lisa never names an alternative"):
        Renderer(correction_masks=True)
    assert {name for name, style in STYLES.items() if style.corrects} == {"sesame"}


@pytest.mark.parametrize("with_mask", [False, True])
def test_masks_equal_targets_in_items_of_the_data_sets(data_root, with_mask):
    renderer, masks = Renderer(style=SESAME, correction_masks=with_mask), 0
    for name in ("fprefcoco", "R-refcoco", "refcoco"):
        data = ReferDataset(data_root, name, "train", OTHER_SPLITS.get(name))
        for index in range(len(data)):
            item = renderer(data[index], data.key(index), np.random.default_rng(index))
            said = " ".join(answer for talk in item.conversations for _, answer in talk)
            assert said.count("[SEG]") == len(item.masks)
            masks += len(item.masks)
    assert masks


def spoken(lisa, frame, text, monkeypatch):
    """The result of a chat in which the network's tokens are those of `text`."""
    from lisa_ros.inference import conversation

    ids = iter([*lisa.tokenizer.encode(text, bos=False), lisa.tokenizer.eos_id])
    original = conversation.greedy_token

    def forced(network, hidden, words):
        return next(ids), original(network, hidden)[1]

    monkeypatch.setattr(conversation, "greedy_token", forced)
    return list(lisa.stream(frame, "laptop"))


def test_a_refusal_with_a_correction_in_words(tiny, monkeypatch):
    """The tiny's own vocabulary is small: the words are spelled from its pieces."""
    lisa = tiny.lisa
    *_, finished = spoken(lisa, tiny.frame(0), "No hat, but cup.", monkeypatch)
    assert isinstance(finished, Finished)
    (target,) = finished.result.targets
    assert (target.kind, target.phrase, target.correction, target.alternative) == (ABSENT, "hat", "cup", None)
    assert not target.mask.any() and "cup" in finished.result.answer


def test_a_mask_that_is_offered_is_the_alternative_of_what_is_absent(tiny, monkeypatch):
    """It is not among the targets: whoever asked for the laptop must not be handed the phone."""
    lisa = tiny.lisa
    events = spoken(lisa, tiny.frame(0), "No hat, but cup [SEG]. The box [SEG].", monkeypatch)
    result = events[-1].result
    found, target = result.targets
    assert (found.kind, found.phrase) == (SEGMENTED, "box")
    assert (target.kind, target.phrase, target.correction) == (ABSENT, "hat", "cup")
    assert target.alternative.kind == SEGMENTED and target.alternative.phrase == "cup"
    ready = [event for event in events if isinstance(event, MaskReady)]
    assert [(event.index, event.target.phrase) for event in ready] == [(0, "box")]
    np.testing.assert_array_equal(ready[0].target.mask, found.mask)
    np.testing.assert_array_equal(result.union_mask, found.mask)


def test_the_time_of_a_batch_counts_once(tiny):
    frame = tiny.lisa.encode(tiny.image(0))
    started = time.perf_counter()
    result = tiny.lisa.segment_phrases(frame, ["red box", "blue hat", "dog"], max_new_tokens=8)
    wall = time.perf_counter() - started
    assert result.seconds["encode"] == frame.seconds and 0 < result.seconds["total"] <= wall
    results = tiny.lisa.segment_many(frame, ["red box", "blue hat"])
    assert results[0].seconds == results[1].seconds


def test_phrases_are_asked_together_and_told_apart(tiny):
    lisa, frame = tiny.lisa, tiny.frame(0)
    result = lisa.segment_phrases(frame, ["red box", "blue hat"])
    assert [target.phrase for target in result.targets] == ["red box", "blue hat"]
    assert "generate" in result.seconds and result.seconds["total"] > 0
    short = lisa.segment_phrases(frame, ["red box", "blue hat"], max_new_tokens=1)
    assert short.truncated and len(short.answer) < len(result.answer)
    with pytest.raises(ConfigurationError, match="max_new_tokens is 0"):
        lisa.segment_phrases(frame, ["red box"], max_new_tokens=0)
    for phrase, target in zip(("red box", "blue hat"), result.targets, strict=True):
        question = SESAME.mask_query["phrase"].replace("{text}", phrase)
        alone = lisa.chat(frame, question)
        masks = [one for one in alone.targets if one.kind == SEGMENTED and one.mask.any()]
        assert (target.kind == SEGMENTED) == bool(masks)
        if masks:
            np.testing.assert_allclose(target.logits, masks[0].logits, atol=1e-3)


def test_a_batch_is_no_longer_than_it_must_be(tiny):
    """More queries than are asked at once, of different lengths, in their order."""
    lisa, frame = tiny.lisa, tiny.frame(1)
    queries = [f"{'long ' * (number % 4)}{number}?" for number in range(11)]
    results = lisa.chat_batch(frame, queries, max_new_tokens=3)
    assert [result.query for result in results] == queries
    for query, result in zip(queries[::4], results[::4], strict=True):
        assert lisa.chat(frame, query, max_new_tokens=3).answer == result.answer
    assert lisa.chat_batch(frame, []) == []
    with pytest.raises(ConfigurationError, match="max_new_tokens is 0"):
        lisa.chat_batch(frame, ["a"], max_new_tokens=0)


def test_other_styles_deny_nothing():
    for name, style in STYLES.items():
        if name != "sesame":
            assert style.denial("There is no laptop; did you mean the phone?") is None


def test_a_denial_needs_no_word_of_the_query(tiny):
    lisa, frame = tiny.lisa, tiny.frame(0)
    stream = GroundingStream(lisa.model, frame)
    (target,) = stream.result("That is not in this image.", "the laptop")
    assert (target.kind, target.phrase) == (ABSENT, "the laptop")
    assert stream.result("A cup.", "the laptop") == ()


def test_sample_of_a_dialogue_is_rendered_as_it_stands():
    turns = (Turn("What is it?", (), "A cup."), Turn("Which colour?", (), "It is red."))
    item = Renderer(style=SESAME)(Sample(None, turns, "talk"), "1", np.random.default_rng(0))
    assert item.conversations == ((("What is it?", "A cup."), ("Which colour?", "It is red.")),)


def test_an_unknown_style_is_told(tiny):
    with pytest.raises(ConfigurationError, match=r"style 'sesam' is not known; there are .*sesame"):
        Lisa.from_pretrained(tiny.checkpoint, device="cpu", style="sesam")
