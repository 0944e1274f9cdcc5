"""The evaluation with answerers of known quality in place of a model."""

import json

import numpy as np
import pytest

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.benchmarks.mixed import correction_share, mixed_scores
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.evaluation.benchmarks.tabletop import denies, evaluate_tabletop, names_exactly, normalised
from lisa_ros.simulator import FURTHER_KINDS
from lisa_ros.types import SEGMENTED, SegmentationResult, Target

pytestmark = pytest.mark.unit
SCENES = 6


class Answerer:
    """A predictor that knows the truth of each scene, and answers with what `change` makes of it."""

    mode = "generative"

    def __init__(self, change):
        self.change, self.encoded, self.lisa = change, 0, self

    def encode(self, image):
        self.encoded += 1
        return image

    def __call__(self, image, turn):
        targets = tuple(Target(t.phrase, SEGMENTED, t.mask) for t in turn.targets if t.mask is not None)
        return self.change(SegmentationResult(turn.question, turn.answer.replace(" [SEG]", ""), targets))

    def segment_phrases(self, image, phrases):
        """Every phrase is there, as the whole image."""
        targets = tuple(Target(phrase, SEGMENTED, np.ones(image.shape[:2], bool)) for phrase in phrases)
        return SegmentationResult(", ".join(phrases), "", targets)


def silent(result):
    return SegmentationResult(result.query, "There is nothing.", ())


def hallucinating(result):
    mask = np.ones((192, 256), bool)
    return SegmentationResult(result.query, "It is the red dragon.", (Target("red dragon", SEGMENTED, mask),))


@pytest.fixture(scope="module")
def perfect():
    answerer = Answerer(lambda result: result)
    return evaluate_tabletop(answerer, count=SCENES), answerer


def test_the_truth_gets_full_marks(perfect):
    scores, answerer = perfect
    assert scores["giou_present"] == pytest.approx(1, abs=1e-3) and scores["ciou_present"] == pytest.approx(1)
    assert scores["multi_target_giou"] == pytest.approx(1, abs=1e-3)
    assert (scores["refusal"], scores["false_refusal"]) == (1, 0)
    assert scores["answer_accuracy"] == scores["exact_answers"] == 1
    questions = sum(len(sample.turns) for sample in TabletopDataset("heldout", SCENES))
    assert scores["n"] == questions == scores["n_present"] + scores["n_absent"]
    assert scores["scenes"] == SCENES and answerer.encoded <= 2 * SCENES
    assert scores["mixed_n_acc"] == scores["mixed_t_acc"] == scores["correction"] == 1
    assert scores["mixed_n"] > 0 and scores["by_kind"]["mixed"]["n"] == scores["mixed_n"]
    # asked one by one, the answerer shows everything
    assert (scores["mixed_phrases_n_acc"], scores["mixed_phrases_t_acc"]) == (0, 1)
    assert 0 < scores["mixed_phrases_giou"] < 0.2


def test_kinds_add_up_and_the_report_is_json(perfect):
    scores, _ = perfect
    plain = {kind: part for kind, part in scores["by_kind"].items() if kind not in FURTHER_KINDS}
    assert sum(part["n"] for part in plain.values()) == scores["n"] and len(plain) < len(scores["by_kind"])
    assert scores["by_kind"]["absent"]["refusal"] == 1 and "giou" not in scores["by_kind"]["absent"]
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_silence_refuses_everything():
    scores = evaluate_tabletop(Answerer(silent), count=SCENES)
    assert (scores["refusal"], scores["false_refusal"], scores["giou_present"]) == (1, 1, 0)
    assert (scores["mixed_n_acc"], scores["mixed_t_acc"], scores["correction"]) == (1, 0, 0)
    assert scores["answer_accuracy"] == 0 and scores["by_kind"]["absent"]["answer_accuracy"] == 1


def test_hallucination_shows_in_the_refusals_not_in_the_present_targets():
    scores = evaluate_tabletop(Answerer(hallucinating), count=SCENES)
    assert (scores["refusal"], scores["false_refusal"], scores["answer_accuracy"]) == (0, 0, 0)
    assert 0 < scores["giou_present"] < 0.2 and scores["correction"] == 0
    assert scores["mixed_t_acc"] == 0 and 0 < scores["mixed_n_acc"] < 1  # one mask, so at most one absent thing got it


def test_without_scenes_there_are_no_shares():
    scores = evaluate_tabletop(Answerer(silent), count=0)
    assert scores["n"] == 0 and scores["giou_present"] is None and scores["by_kind"] == {}


def test_masks_without_answers_have_no_scores_of_words():
    answerer = Answerer(lambda result: SegmentationResult(result.query, "", result.targets))
    answerer.mode = "teacher_forced"
    scores = evaluate_tabletop(answerer, count=2)
    assert scores["answer_accuracy"] is scores["exact_answers"] is None and scores["giou_present"] > 0.99
    assert all(kind["answer_accuracy"] is None for kind in scores["by_kind"].values())


def test_unknown_split_is_refused():
    with pytest.raises(ConfigurationError, match="split"):
        evaluate_tabletop(Answerer(silent), split="test", count=1)


@pytest.mark.parametrize(
    ("answer", "phrases", "right"),
    [
        ("It is the red mug.", ("red mug",), True),
        ("Sure, the  Red mug [SEG] .", ("red mug",), True),
        ("The mug in red [SEG].", ("red mug",), True),
        ("The mug in red [SEG] and the plate in blue [SEG].", ("blue plate", "red mug"), True),
        ("The mug in blue.", ("red mug",), False),
        ("The mug is not red.", ("red mug",), False),
        ("It is the blue mug.", ("red mug",), False),
        ("They are the red mug and the blue plate.", ("blue plate", "red mug"), True),
        ("They are the red mug and the blue plate.", ("red mug",), False),
        ("It is the red mug.", ("red mug", "red mug"), False),
        ("It is the red mug on the plate.", ("red mug",), False),
        ("It is red.", ("red mug",), False),
        ("", ("red mug",), False),
    ],
)
def test_an_answer_is_right_when_it_names_all_targets_and_nothing_else(answer, phrases, right):
    assert names_exactly(answer, phrases) is right


def test_words_are_compared_without_mask_tokens_and_case():
    assert normalised("It is  the mug [SEG].") == normalised("it is the mug.") == "it is the mug."
    assert denies("There is NO fork here.") and denies("The fork is not here.") and not denies("It is the knob.")


def mixed_row(reference, phrases, answer, masks):
    return QueryRow("0", 0, "?", "mixed", True, 0, 1, True, True, answer, masks, phrases=phrases, reference=reference)


RED_MUG = "The mug in red [SEG]. The fork is not here.", ("red mug", "fork")
TWO_MUGS = "The mug in red [SEG]. The mug is not blue, but red.", ("red mug", "blue mug")


@pytest.mark.parametrize(
    ("truth", "answer", "masks", "n_acc", "t_acc"),
    [
        (RED_MUG, "The mug in red. The fork is not here.", 1, 1, 1),
        (RED_MUG, "The mug in blue. The fork is not here.", 1, 1, 1),  # it was answered, with another mug
        (RED_MUG, "The mug in red and the fork in blue.", 2, 0, 1),
        (RED_MUG, "The fork in blue. The mug is not here.", 1, 0, 0),
        (RED_MUG, "The mug in red. The plate in white.", 2, 0, 1),  # a mask too many is the absent thing's
        (RED_MUG, "The mug is not here. The fork is not here.", 0, 1, 0),
        (RED_MUG, "It is this.", 1, 0, 0),
        (TWO_MUGS, "The mug in red. The mug is not blue, but red.", 1, 1, 1),
        (TWO_MUGS, "The mug in blue. The mug is not red, but blue.", 1, 0, 0),
    ],
)
def test_each_phrase_of_a_mixed_question_is_decided(truth, answer, masks, n_acc, t_acc):
    scores = mixed_scores([mixed_row(*truth, answer, masks)])
    assert (scores["mixed_n_acc"], scores["mixed_t_acc"], scores["mixed_n_absent"]) == (n_acc, t_acc, 1)


@pytest.mark.parametrize(
    ("answer", "masks", "right"),
    [
        ("The mug is not red, but blue.", 0, True),
        ("The mug is not red, but blue or green.", 0, True),
        ("The mug is not red, but white.", 0, False),
        ("The mug is not red, but blue or white.", 0, False),
        ("The mug is not red.", 0, False),
        ("The mug in blue.", 1, False),
        ("The mug is not red, but blue.", 1, False),
    ],
)
def test_a_correction_names_what_is_there_without_a_mask(answer, masks, right):
    reference = "The mug is not red, but blue or green."
    row = QueryRow("0", 0, "?", "absent", True, 0, 0, False, False, answer, masks, reference=reference, exists=False)
    assert correction_share([row]) == right and correction_share([]) is None
