"""Questions as people ask in passing are right: checked against the scene, apart from the code that writes them."""

import re
from collections import Counter, defaultdict
from random import Random

import numpy as np
import pytest

from lisa_ros.simulator import FURTHER_KINDS, generate_scene, scene_queries
from lisa_ros.simulator.nouns import misspelt
from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES
from lisa_ros.simulator.wordings import EVERYDAY, WISHES

pytestmark = pytest.mark.unit
SHOWN = re.compile(r"[Tt]he (\w+) in (\w+) \[SEG\]")
DENIED = re.compile(r"The ([\w ]+?) (?:is|are) not (\w+)")


@pytest.fixture(scope="module")
def asked():
    """kind -> (scene, query, split) of both splits."""
    found = defaultdict(list)
    for seed in range(25):
        scene = generate_scene(seed, objects=(2, 9))
        for split in EVERYDAY:
            for query in scene_queries(scene, np.random.default_rng(seed), split, 40, 0.0, FURTHER_KINDS):
                found[query.kind].append((scene, query, split))
    return found


def test_they_come_in_their_shares(asked):
    total = sum(map(len, asked.values()))
    assert set(asked) == set(FURTHER_KINDS)
    assert all(len(queries) > 0.03 * total for queries in asked.values())


def test_answers_show_the_targets_in_their_order(asked):
    for queries in asked.values():
        for scene, query, _ in queries:
            items = [scene.objects[i - 1] for i in query.target_ids]
            assert SHOWN.findall(query.answer) == [(item.category, item.colour) for item in items]
            assert query.answer.count("[SEG]") == len(items) <= 4 and all(item.queryable for item in items)


def test_mixed_questions_answer_every_phrase(asked):
    counts = Counter()
    for scene, query, _ in asked["mixed"]:
        there = {(item.category, item.colour) for item in scene.objects}
        sentences = query.answer.rstrip(".").split(". ")
        assert 2 <= len(query.phrases) + len(query.absent) <= 3
        if query.absent:
            assert len(sentences) == len(query.phrases) + len(query.absent)
        else:
            assert len(sentences) == 1
        denied = [DENIED.search(sentence) for sentence in sentences if "[SEG]" not in sentence]
        assert len(denied) == len(query.absent)
        for match, phrase in zip(denied, query.absent, strict=True):
            counts[len(query.absent)] += 1
            noun, said = match.groups()
            if noun == "other thing":
                assert phrase.split()[-1] not in CATEGORIES
            elif said == "here":
                assert noun == phrase and noun not in {category for category, _ in there}
            else:
                assert phrase == f"{said} {noun}" and (noun, said) not in there
                assert noun in {category for category, _ in there}
        counts["whole"] += not query.absent
    assert len(counts) >= 3 and min(counts.values()) > 20


def test_exclusions_leave_out_what_is_named(asked):
    checked = 0
    for scene, query, _ in asked["exclusion"]:
        items = [scene.objects[i - 1] for i in query.target_ids]
        words = set(re.findall(r"\w+", query.text.lower()))
        colours = words & set(COLOURS)
        if colours:
            assert len(colours) == 1 and not colours & {item.colour for item in items}
            (category,) = {item.category for item in items}
            others = [o for o in scene.objects if o.category == category and o not in items]
            assert others and {o.colour for o in others} == colours
        elif named := words & set(CATEGORIES):
            assert {o.id for o in scene.objects if o.category not in named} == set(query.target_ids)
        checked += bool(colours or named)
    assert checked > 50


def test_ordinals_count_from_the_side_that_is_named(asked):
    checked = 0
    for scene, query, _ in asked["ordinal"]:
        text = query.text.lower()
        number = next((n for word, n in (("second", 2), ("third", 3), ("fourth", 4)) if word in text), None)
        if number is None:
            continue
        named = [c for c in CATEGORIES if re.search(rf"\b{c}\b", text)]
        items = sorted(
            (o for o in scene.objects if not named or o.category in named),
            key=lambda o: np.nonzero(scene.mask(o.id))[1].mean(),
        )
        if len(items) < number:  # by another name
            continue
        (target,) = query.target_ids
        assert items[number - 1 if "left" in text else -number].id == target
        checked += 1
    assert checked > 20


def test_wishes_are_fulfilled_by_their_category_alone(asked):
    sentences = {text.lower(): wish for wish in WISHES for text in (*wish.train, *wish.heldout)}
    checked = Counter()
    for scene, query, _ in asked["everyday"]:
        wish = next((wish for text, wish in sentences.items() if text in query.text.lower()), None)
        if wish is None:
            continue
        there = {o.category for o in scene.objects}
        assert not wish.close & there
        assert {scene.objects[i - 1].category for i in query.target_ids} == ({wish.category} & there)
        assert bool(query.target_ids) or query.answer == "There is nothing like that here."
        checked[bool(query.target_ids)] += 1
    assert min(checked[True], checked[False]) > 10


def test_every_category_has_wishes_and_no_string_is_in_both_splits():
    assert {wish.category for wish in WISHES} == set(CATEGORIES)
    assert all(len(set(wish.train)) >= 7 and len(set(wish.heldout)) >= 3 for wish in WISHES)
    train = {text for wish in WISHES for text in wish.train} | _strings(EVERYDAY["train"])
    heldout = {text for wish in WISHES for text in wish.heldout} | _strings(EVERYDAY["heldout"])
    assert not train & heldout


def test_slips_of_the_pen_are_other_words_and_differ_between_the_splits():
    random = Random(0)
    slips = {split: {misspelt(random, c, split) for c in CATEGORIES for _ in range(20)} for split in EVERYDAY}
    assert not slips["train"] & slips["heldout"]
    assert not (slips["train"] | slips["heldout"]) & set(CATEGORIES)


def _strings(table):
    found = set()
    for value in vars(table).values():
        for part in value.values() if isinstance(value, dict) else [value]:
            found |= set(part)
    return found
