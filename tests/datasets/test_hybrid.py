"""Rendering and mixture: what LISA's own loaders make of equal draws; determinism; samples that cannot be read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.errors import ConfigurationError
from lisa_ros.model.prompts import get_template
from lisa_ros.model.styles import lisa as templates
from lisa_ros.types import Sample, TruthTarget, Turn
from training.config.sections import DataConfig, DatasetGroupConfig
from training.data.hybrid import DatasetGroup, HybridStream
from training.data.items import Renderer
from training.data.loader import MicroBatchDataset, load_micro_batches
from training.data.sources import TRAINING, open_items
from training.errors import BadItemError, TrainingError

pytestmark = pytest.mark.unit
PAPER = {
    "sem_seg": DatasetGroupConfig(9, ("ade20k", "cocostuff", "pascal_part", "paco_lvis", "mapillary")),
    "refer_seg": DatasetGroupConfig(3, ("refclef", "refcoco", "refcoco+", "refcocog")),
    "vqa": DatasetGroupConfig(3, ("llava_instruct_150k",)),
    "reason_seg": DatasetGroupConfig(1, ("ReasonSeg|train|explanatory",)),
}
READERS = {  # name of the original loader: ours, the hybrid one's samples are of several
    "sem_ade20k": "ade20k",
    "sem_cocostuff": "cocostuff",
    "sem_mapillary": "mapillary",
    "sem_paco_lvis": "paco_lvis",
    "sem_pascal_part": "pascal_part",
    **{f"refer_{name}": name for name in ("refcoco", "refcoco+", "refcocog", "refclef")},
    "vqa": "llava_instruct_150k",
    "reason": "ReasonSeg|train|explanatory",
    "reason_noexp": "ReasonSeg|train",
    "reason_exp_0.9": "ReasonSeg|train|explanatory",
    "hybrid": "ade20k cocostuff mapillary paco_lvis refcoco",
}


class Draws:
    """Stands in for the generator: gives what the original loader has drawn."""

    def __init__(self, order, picks, chance=0.99):
        self.order, self.picks, self.chance = order, iter(picks), chance

    def permutation(self, count):
        return np.array([*self.order, *sorted(set(range(count)) - set(self.order))])

    def integers(self, count):
        pick = next(self.picks)
        assert pick < count
        return pick

    def random(self):
        return self.chance


def draws_of(row, sample):
    """The draws that give an item of the original loader: which turns, how they are worded, asked and answered."""
    order, picks = [], []
    wordings = [(turn.question, *turn.alternatives) for turn in sample.turns]
    explained = "explain why" in row["conversations"][0] or "explanation." in row["conversations"][0]
    if sample.turns[0].answer != "[SEG]." and sample.turns[0].targets:
        picks.append(int(explained))
    for asked, question, conversation in zip(
        row["sampled_classes"], row["questions"], row["conversations"], strict=True
    ):
        number = next(n for n, texts in enumerate(wordings) if asked in texts and n not in order)
        order.append(number)
        if len(wordings[number]) > 1:
            picks.append(wordings[number].index(asked))
        sentence = sample.turns[number].is_sentence
        kind = templates.SENTENCE_QUESTIONS if sentence else templates.PHRASE_QUESTIONS
        kind, text = (templates.EXPLAIN_QUESTIONS if explained else kind), asked if sentence else asked.lower()
        picks.append([f"<image>\n{one.format(text=text)}" for one in kind].index(question))
        picks.append(
            max((n for n, one in enumerate(templates.ANSWERS) if f" {one}" in conversation), key=answer_length)
        )
    return Draws(order, picks)


def answer_length(number):
    return len(templates.ANSWERS[number])


@pytest.mark.parametrize("name", READERS)
def test_equal_draws_give_the_original_items(root, official, name):
    rows = [row for row in official[0]["items"] if row["dataset"] == name]
    readers, renderer = [TRAINING[one](root) for one in READERS[name].split()], Renderer()
    samples = [reader[number] for reader in readers for number in range(len(reader))]
    assert rows
    for row in rows:
        masks = official[1][f"{row['key']}/masks"] > 0
        if name == "vqa":
            sample = next(s for s in samples if s.turns[0].answer in row["conversations"][0])
            item = renderer(sample, "", Draws([], []))
        else:
            sample = next(
                s
                for s in samples
                if {t for turn in s.turns for t in (turn.question, *turn.alternatives)} >= set(row["sampled_classes"])
                and s.image.shape[:2] == masks.shape[1:]
            )
            item = renderer(sample, "", draws_of(row, sample))
        template = get_template(row["conv_type"])
        prompts = [
            template.render([(f"<image>\n{turns[0][0]}", turns[0][1]), *turns[1:]]) for turns in item.conversations
        ]
        assert prompts == row["conversations"]
        np.testing.assert_array_equal(item.masks, masks)


def grounded(masks=1, answer="[SEG].", turns=1, **options):
    """A sample of 4x4 pixels."""
    target = tuple(TruthTarget("thing", np.eye(4, k=n, dtype=bool)) for n in range(masks)) or (TruthTarget("x", None),)
    made = tuple(Turn(f"Thing {n}", target, answer, **options) for n in range(turns))
    return Sample(np.zeros((4, 4, 3), np.uint8), made, "made", np.zeros((4, 4), bool))


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 3), st.integers(1, 6), st.sampled_from(["[SEG].", "[SEG]. So.", ""]))
def test_every_mark_has_its_mask(seed, masks, turns, answer):
    sample = grounded(masks, answer, turns)
    item = Renderer(text_answers=0.3)(sample, "k", np.random.default_rng(seed))
    answers = [turn[1] for conversation in item.conversations for turn in conversation]
    assert sum(text.count("[SEG]") for text in answers) == len(item.masks)
    assert len(answers) == min(turns, 3) and all(answers) and (item.source, item.key) == ("made", "k")
    assert item.masks.shape[1:] == (4, 4) and item.masks.dtype == bool and item.ignore is sample.ignore


def test_several_things_of_one_phrase_are_one_mask():
    item = Renderer()(grounded(3), "", np.random.default_rng(0))
    np.testing.assert_array_equal(item.masks, [np.eye(4) + np.eye(4, k=1) + np.eye(4, k=2) > 0])


def test_what_is_absent_is_refused_without_a_mask():
    item = Renderer()(grounded(0), "", np.random.default_rng(0))
    assert item.masks.shape == (0, 4, 4) and item.conversations[0][0][1] in templates.ABSENT_ANSWERS


def test_explained_samples_are_asked_in_three_ways():
    rng, renderer = np.random.default_rng(0), Renderer(text_answers=0.1)
    counts = {"text": 0, "explained": 0, "plain": 0}
    for _ in range(2000):
        item = renderer(grounded(1, "[SEG]. So it is.", is_sentence=True), "", rng)
        question, answer = item.conversations[0][0]
        kind = "text" if answer == "So it is." else "explained" if answer.endswith("[SEG]. So it is.") else "plain"
        assert (question == "Thing 0") == (kind == "text") == (not len(item.masks))
        assert (question in [one.format(text="Thing 0") for one in templates.EXPLAIN_QUESTIONS]) == (
            kind == "explained"
        )
        counts[kind] += 1
    assert 150 < counts["text"] < 250 and 800 < counts["explained"] < 1000 and 800 < counts["plain"] < 1000


def test_other_wordings_are_drawn():
    rng = np.random.default_rng(0)
    renderer = Renderer(paraphrases={"Thing 0": ("the one at zero",)})
    questions = {renderer(grounded(alternatives=("number 0",)), "", rng).conversations[0][0][0] for _ in range(200)}
    expected = [
        one.format(text=text)
        for one in templates.PHRASE_QUESTIONS
        for text in ("thing 0", "number 0", "the one at zero")
    ]
    assert questions == set(expected)


@pytest.mark.parametrize("values", [{"max_turns": 0}, {"text_answers": -0.1}, {"text_answers": float("nan")}])
def test_ways_to_render_that_are_none(values):
    with pytest.raises(ConfigurationError, match=next(iter(values))):
        Renderer(**values)


def test_a_dialogue_is_one_conversation():
    turns = tuple(Turn(f"q{n}", (), f"a{n}", "dialogue") for n in range(5))
    item = Renderer()(Sample(None, turns, "talk"), "1", np.random.default_rng(0))
    assert item.conversations == (tuple((f"q{n}", f"a{n}") for n in range(5)),)
    assert item.image is None and item.masks.shape == (0, 0, 0)


class Numbered:
    """A data set whose samples tell their number; those of `empty` have no turns, those of `bad` cannot be read."""

    def __init__(self, source, count, empty=(), bad=()):
        self.source, self.count, self.empty, self.bad = source, count, empty, bad

    def __len__(self):
        return self.count

    def key(self, index):
        return str(index)

    def __getitem__(self, index):
        if index in self.bad:
            raise ConfigurationError(f"{self.source}/{index}.jpg is damaged")
        return Sample(None, () if index in self.empty else (Turn(str(index), (), "a"),), self.source)


def stream(seed=0, limit=100, **options):
    one = Numbered("one", 10, **options)
    groups = {"a": DatasetGroup(9, (one, Numbered("two", 1000))), "b": DatasetGroup(3, (Numbered("three", 5),))}
    return HybridStream(groups, Renderer(), seed, limit)


def named(item):
    return item.source, item.key, item.conversations


def test_an_item_depends_on_seed_and_number_alone():
    first, second = stream(3), stream(3)
    forward = [named(first[number]) for number in range(50)]
    assert [named(second[number]) for number in reversed(range(50))] == forward[::-1]
    other = stream(4)
    assert [named(other[number]) for number in range(50)] != forward
    assert named(first[1 << 60]) == named(second[1 << 60])


def test_groups_by_weight_data_sets_and_samples_alike():
    data = stream()
    items = [data[number] for number in range(2000)]
    shares = {name: sum(item.source == name for item in items) / len(items) for name in ("one", "two", "three")}
    assert shares["one"] == pytest.approx(9 / 24, abs=0.04) and shares["two"] == pytest.approx(9 / 24, abs=0.04)
    assert {item.key for item in items if item.source == "one"} == {str(number) for number in range(10)}


def test_samples_without_questions_are_passed_over():
    data = stream(empty=range(9))
    items = [data[number] for number in range(200)]
    assert {item.key for item in items if item.source == "one"} == {"9"}
    with pytest.raises(TrainingError, match="in a row have no questions; the last one: only"):
        HybridStream({"a": DatasetGroup(1, (Numbered("only", 3, empty=range(3)),))}, Renderer(), 0)[0]


def test_unreadable_samples_are_named_and_counted():
    data = HybridStream({"a": DatasetGroup(1, (Numbered("only", 20, bad=range(20)),))}, Renderer(), 0, skip_limit=5)
    reasons = []
    with pytest.raises(TrainingError, match=r"6 samples cannot be read \(only 6\), the limit is 5") as raised:
        for number in range(100):
            try:
                data[number]
            except BadItemError as error:
                reasons.append(str(error))
    assert isinstance(raised.value, TrainingError) and not isinstance(raised.value, BadItemError)
    assert all(".jpg is damaged" in reason for reason in reasons) and len(set(reasons)) == 5


class PlainCollator:
    """Takes every item and leaves it as it is."""

    def check(self, item):
        pass

    def __call__(self, items):
        return [item.key for item in items]


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_samples_are_replaced_until_the_limit(workers):
    def batches(limit):
        data = HybridStream({"a": DatasetGroup(1, (Numbered("only", 9, bad=(2, 5, 7)),))}, Renderer(), 0, limit)
        return load_micro_batches(MicroBatchDataset(data, PlainCollator(), 2, None), iter(range(0, 60, 2)), workers)

    found = list(batches(3))
    assert len(found) == 30 and {key for micro in found for key in micro.batch} == set("013468")
    reasons = {reason for micro in found for reason in micro.skipped}
    assert reasons == {f"only {number}: only/{number}.jpg is damaged" for number in (2, 5, 7)}
    with pytest.raises(TrainingError) as raised:
        list(batches(2))
    assert str(raised.value).startswith("3 samples cannot be read (only 3), the limit is 2; the last ones: only/")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_mixtures_that_are_none(weight):
    with pytest.raises(ConfigurationError, match="above 0"):
        HybridStream({"a": DatasetGroup(weight, (Numbered("one", 1),))}, Renderer(), 0)
    with pytest.raises(ConfigurationError, match="above 0"):
        HybridStream({}, Renderer(), 0)
    with pytest.raises(ConfigurationError, match="b of the mixture has no data set"):
        HybridStream({"b": DatasetGroup(1, ())}, Renderer(), 0)


def test_the_papers_mixture_of_the_miniatures(root):
    data = open_items(DataConfig(PAPER, root), seed=0)
    items = [data[number] for number in range(60)]
    assert {item.source.split("/")[0] for item in items} >= {"ade20k", "cocostuff", "mapillary", "refcoco", "paco_lvis"}
    for item in items:
        answers = [turn[1] for conversation in item.conversations for turn in conversation]
        assert sum(text.count("[SEG]") for text in answers) == len(item.masks)
        assert item.masks.shape[1:] == item.image.shape[:2]
