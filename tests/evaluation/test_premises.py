"""Scores of questions about what is not there: those of SESAME's code, and what answers say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lisa_ros.evaluation.benchmarks.premises import PremiseMetrics, names, premise_report, premise_scores
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.model.styles.denial import denies

pytestmark = pytest.mark.unit


def row(answer, *, exists=True, inter=50, union=100, found=None, masks=None, first=None, alternatives=(), **more):
    """A row whose first mask has the pixels `first`, (intersection, union), or those of all."""
    found = inter > 0 or (not exists and union > 0) if found is None else found
    first = (inter, union) if first is None else first
    return QueryRow(
        key="a", turn=0, text="the black cat", kind="k", sentence=False, intersection=inter, union=union,
        present=exists, found=found, answer=answer, masks=int(found) if masks is None else masks,
        phrases=("the black cat",), exists=exists, alternatives=alternatives, first_intersection=first[0],
        first_union=first[1], first_found=first[1] > 0 and found, **more,
    )  # fmt: skip


def absent(answer, **more):
    return row(answer, exists=False, inter=0, union=0, **more)


def test_accumulators_merge():
    one, other, both = PremiseMetrics(), PremiseMetrics(), PremiseMetrics()
    for metrics, found in ((one, row("x")), (other, absent("x"))):
        metrics.add(found.overlap, found.exists)
        both.add(found.overlap, found.exists)
    one.merge(other)
    assert one == both
    assert math.isnan(PremiseMetrics().ciou) and math.isnan(PremiseMetrics().see_accuracy)


def test_first_mask_and_all_masks_are_told_apart():
    scores = premise_scores([row("It is there.", inter=60, union=100, first=(40, 80)), row("Yes.", first=(0, 0))])
    assert scores["ciou_all"] == pytest.approx(110 / 200) and scores["ciou_first"] == pytest.approx(40 / 80)
    assert (scores["see_accuracy_all"], scores["see_accuracy_first"]) == (1.0, 0.5)


def test_a_target_without_pixels_is_there_all_the_same():
    (seen,) = [premise_scores([row("", inter=0, union=0, masks=0)])["see_accuracy_all"]]
    assert seen == 0.0


@pytest.mark.parametrize(
    ("answer", "denied"),
    [
        ("There is no black cat in this picture.", True),
        ("I can\u2019t find the black cat.", True),
        ("The black cat isn't here.", True),
        ("The black cat is on the sofa.", False),
        ("Here it is.", False),
        ("", False),
        ("A notebook lies there.", False),
    ],
)
def test_denials(answer, denied):
    assert denies(answer, ["the black cat"]) == denied


def test_the_words_asked_for_deny_nothing():
    assert not denies("The cup with no handle is on the left.", ["the cup with no handle"])
    assert denies("There is no cup with no handle.", ["cup with no handle"])


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("There is no man with a hat; did you mean the man on the left?", True),
        ("There is no man with a hat.", False),
        ("There is no man with a hat, but the left one is a man.", True),
        ("Perhaps the woman on the right?", False),
    ],
)
def test_the_alternative_is_named_by_more_than_half_of_its_words(answer, named):
    assert names(answer, "man on the left", ["man with a hat"]) == named


def test_what_say_counts():
    right = "There is no black cat; did you mean the brown dog?"
    rows = [
        row("It is on the sofa."),
        row("There is no black cat.", inter=0),
        absent(right, alternatives=("the brown dog",)),
        absent("There is no black cat.", alternatives=("the brown dog",)),
        absent("There is no black cat."),
        row(right, exists=False, inter=0, union=9, alternatives=("the brown dog",)),  # it has a mask as well
        absent("Here is the brown dog.", alternatives=("the brown dog",)),
    ]
    scores = premise_scores(rows)
    assert scores["say"] == pytest.approx(3 / 7)
    assert scores["say_denial"] == pytest.approx(3 / 5)
    assert scores["say_correction"] == pytest.approx(1 / 4)
    assert scores["say_false_denial"] == pytest.approx(1 / 2)


def test_what_could_not_be_asked_is_no_refusal():
    scores = premise_scores([absent("no", error="too long")])
    assert scores["see_accuracy_all"] == scores["say"] == scores["say_denial"] == 0.0


def test_nothing_is_reported_where_all_is_there():
    assert premise_report([row("Yes.")]) == ({}, ())
    summary, ((_, _, lines),) = premise_report([absent("No.")])
    assert summary["premises"]["say_false_denial"] is None and ("absent targets denied", "100.0") in lines


@given(st.lists(st.sampled_from(["no", "the", "cat", "dog", "left"]), max_size=8))
def test_repeating_the_question_never_names_an_alternative_nor_denies(words):
    phrase = " ".join(words)
    assert not names(phrase, "the yellow bird", [phrase]) and not denies(phrase, [phrase])
