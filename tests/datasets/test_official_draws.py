"""The original loaders' random draws, replayed on these readers and sentences, give the original conversations."""

import hashlib
import random
from types import SimpleNamespace

import numpy as np
import pytest

from lisa_ros.datasets.dialogues import llava_instruct_150k
from lisa_ros.datasets.parts import paco_lvis, pascal_part
from lisa_ros.datasets.reasonseg import ReasonSegDataset
from lisa_ros.datasets.refer import ReferDataset
from lisa_ros.datasets.semantic import ade20k, coco_stuff, mapillary
from lisa_ros.model.preprocess import sam_preprocess
from lisa_ros.model.prompts import get_template
from lisa_ros.model.styles import get_style
from lisa_ros.model.styles import lisa as templates

pytestmark = pytest.mark.unit

MOST = 3  # classes or phrases of one picture
EXPLANATORY = {"reason": 0.1, "reason_noexp": -1.0, "reason_exp_0.9": 0.9}
SEMANTIC = {
    "sem_ade20k": ade20k,
    "sem_cocostuff": coco_stuff,
    "sem_pascal_part": pascal_part,
    "sem_paco_lvis": paco_lvis,
    "sem_mapillary": mapillary,
}
REFER = ("refer_refclef", "refer_refcoco", "refer_refcoco+", "refer_refcocog")
# The mixture, in the original order; kinds are drawn with these weights.
KINDS = (tuple(SEMANTIC), REFER, ("vqa",), ("reason",))
WEIGHTS = np.array([9, 3, 3, 1]) / 16


@pytest.fixture(scope="module")
def readers(root):
    """The miniature data sets by the golden data's names."""
    opened = {name: opener(root) for name, opener in SEMANTIC.items()}
    opened |= {name: ReferDataset(root, name.removeprefix("refer_"), "train") for name in REFER}
    opened |= {f"val_{name}": ReferDataset(root, name, "val") for name in ("refcoco", "refcocog")}
    opened |= {name: ReasonSegDataset(root, "train", share >= 0) for name, share in EXPLANATORY.items()}
    return opened | {"vqa": llava_instruct_150k(root), "val_reasonseg": ReasonSegDataset(root, "val")}


class Draws:
    """The two generators that the original code draws from, as seeded for one golden item."""

    def __init__(self, seed):
        self.python, self.numpy = random.Random(seed), np.random.RandomState(seed)

    def turns(self, sample):
        count = len(sample.turns)
        chosen = self.numpy.choice(count, MOST, replace=False) if count >= MOST else range(count)
        return [sample.turns[int(number)] for number in chosen]

    def wordings(self, turns):
        """Questions' texts; a part is named in one of two ways."""
        return [
            turn.question if not turn.alternatives or self.python.random() < 0.5 else turn.alternatives[0]
            for turn in turns
        ]


def replay(name, readers, seed):
    """Image, texts, conversations and masks that the original code's draws give."""
    draws = Draws(seed)
    names = KINDS[draws.numpy.choice(4, p=WEIGHTS)] if name == "hybrid" else (name,)
    if names[0].startswith(("sem", "refer")):
        name = names[draws.python.randint(0, len(names) - 1)]
    reader = readers[name]
    index = draws.python.randint(0, len(reader) - 1)
    sample = reader[index]
    if name == "vqa":
        conversation = [(turn.question, turn.answer) for turn in sample.turns]
        return SimpleNamespace(image=sample.image, texts=None, conversations=[conversation], masks=[])
    turns = draws.turns(sample)
    mode = 0
    explanations = [turn.answer.removeprefix("[SEG].").strip() for turn in turns]
    if any(explanations):
        mode = 2 if draws.python.random() < EXPLANATORY[name] else draws.python.randint(0, 1)
    texts, conversations = draws.wordings(turns), []
    for turn, text, explanation in zip(turns, texts, explanations, strict=True):
        choices = templates.SENTENCE_QUESTIONS if turn.is_sentence else templates.PHRASE_QUESTIONS
        question = draws.python.choice(choices).format(text=text if turn.is_sentence else text.lower())
        if mode == 2:
            question, answer = text, explanation
        else:
            answer = draws.python.choice(templates.ANSWERS)
            if mode == 1:
                question = draws.python.choice(templates.EXPLAIN_QUESTIONS).format(text=text)
                answer = f"{answer} {explanation}"
        conversations.append([(question, answer)])
    masks = [] if mode == 2 else [turn.targets[0].mask for turn in turns]
    return SimpleNamespace(image=sample.image, texts=texts, conversations=conversations, masks=masks)


def rendered(conversations, conv_type):
    template = get_template(conv_type)
    return [template.render([(f"<image>\n{turns[0][0]}", turns[0][1]), *turns[1:]]) for turns in conversations]


def test_every_conversation_and_mask(readers, official):
    rows = [item for item in official[0]["items"] if not item["dataset"].startswith("val_")]
    assert len(rows) == 78
    for item in rows:
        got = replay(item["dataset"], readers, item["seed"])
        assert rendered(got.conversations, item["conv_type"]) == item["conversations"], item["key"]
        if got.texts is not None:
            assert got.texts == [text.strip() for text in item["sampled_classes"]], item["key"]
        check_masks(got.masks, official[1][f"{item['key']}/masks"], item["key"])
        check_image(got.image, item)


def test_every_validation_sample(readers, official):
    rows = [item for item in official[0]["items"] if item["dataset"].startswith("val_")]
    assert len(rows) == 12
    for item in rows:
        sample = readers[item["dataset"]][item["index"]]
        turns = sample.turns[:1] if item["dataset"] == "val_reasonseg" else sample.turns  # the first wording alone
        wordings = get_style("lisa").mask_query
        queries = [wordings["sentence" if turn.is_sentence else "phrase"] for turn in turns]
        asked = [[(query.format(text=turn.question), "[SEG].")] for query, turn in zip(queries, turns, strict=True)]
        assert rendered(asked, item["conv_type"]) == item["conversations"], item["key"]
        masks = official[1][f"{item['key']}/masks"]
        check_masks([turn.targets[0].mask for turn in turns], masks == 1, item["key"])
        if item["dataset"] == "val_reasonseg":
            np.testing.assert_array_equal(sample.ignore, masks[0] == 255)
        check_image(sample.image, item)


def check_masks(ours, theirs, key):
    """Where polygons overlap, the original masks are 2; ours are True."""
    assert len(ours) == len(theirs), key
    for mask, original in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mask, original > 0, key)


def check_image(image, item):
    """The pixels are the original ones, by their digest after the preprocessing for SAM."""
    pixels = sam_preprocess(image, 256).numpy()
    assert hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest() == item["sha256_image"], item["key"]
