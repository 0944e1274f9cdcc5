"""Queries are right: read back from their words and checked against the scene by means of the test's own."""

import re
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator import generate_scene, scene_queries
from lisa_ros.simulator.nouns import SYNONYMS, UNKNOWN, invented, plural
from lisa_ros.simulator.palette import COLOURS
from lisa_ros.simulator.shapes import CATEGORIES
from lisa_ros.simulator.wordings import FACTS, IMPOSSIBLE, PHRASINGS
from lisa_ros.simulator.wordings.facts import CLASSES

pytestmark = pytest.mark.unit

NAMES = {
    name: c for c in CATEGORIES for name in (c, plural(c), *SYNONYMS.get(c, ()), *map(plural, SYNONYMS.get(c, ())))
}
MEMBERS = {name: members for word, (many, members, _) in CLASSES.items() for name in (word, many)}
THINGS = ("thing", "object", "item", "things", "objects", "items")
NOUN = re.compile(
    rf"(?:\b({'|'.join(COLOURS)}) )?\b({'|'.join(sorted([*NAMES, *MEMBERS, *THINGS], key=len, reverse=True))})\b"
)
ORDERS = {
    "left": r"left", "right": r"right",
    "near": r"nearest|closest|smallest distance", "far": r"farthest|furthest|distant",
    "tall": r"tallest|highest|height", "large": r"largest|biggest|greatest size", "small": r"smallest|tiniest|littlest",
}  # fmt: skip


@pytest.fixture(scope="module")
def asked():
    """(scene, query) pairs of both splits."""
    pairs = []
    for seed in range(30):
        scene = generate_scene(seed, objects=(2, 11))
        for split in PHRASINGS:
            pairs += [(scene, query, split) for query in scene_queries(scene, np.random.default_rng(seed), split, 40)]
    return pairs


def meant(scene, colour, noun):
    """Ids of the objects that a noun with an optional colour means."""

    def fits(item):
        by_noun = item.category == NAMES.get(noun) or item.category in MEMBERS.get(noun, ()) or noun in THINGS
        return by_noun and (not colour or item.colour == colour)

    return {item.id for item in scene.objects if fits(item)}


def nouns(text):
    """(colour, noun) pairs of a query's words; "the red mug", not "which object is the red mug"."""
    found = NOUN.findall(text.lower())
    named = [pair for pair in found if pair[1] not in THINGS or pair[0]]
    return named or found[-1:]


def distance(scene, item):
    return np.linalg.norm(item.centre - scene.camera_pose[:3, 3])


def test_targets_of_plain_names(asked):
    checked = Counter()
    for scene, query, _ in asked:
        if query.kind in ("category", "attribute"):
            (pair,) = nouns(query.text)
            assert meant(scene, *pair) == set(query.target_ids), query
            checked[query.kind] += 1
    assert min(checked.values()) > 100 and len(checked) == 2


def test_targets_of_groups(asked):
    checked = 0
    for scene, query, _ in asked:
        if query.kind == "group":
            wanted = set().union(*(meant(scene, *pair) for pair in nouns(query.text)))
            assert wanted == set(query.target_ids) and len(wanted) >= 2, query
            for word, number in (("two", 2), ("both", 2), ("three", 3), ("four", 4)):
                if re.search(rf"\b{word}\b", query.text.lower()):
                    assert len(query.target_ids) == number
            checked += 1
    assert checked > 50


def test_targets_of_superlatives(asked):
    measures = {
        "left": lambda s, o: -np.nonzero(s.mask(o.id))[1].mean(),
        "right": lambda s, o: np.nonzero(s.mask(o.id))[1].mean(),
        "near": lambda s, o: -distance(s, o),
        "far": distance,
        "tall": lambda s, o: o.extents[2],
        "large": lambda s, o: o.extents.max(),
        "small": lambda s, o: -o.extents.max(),
    }
    checked = Counter()
    for scene, query, split in asked:
        if query.kind != "superlative":
            continue
        text = query.text.lower()
        frames = [
            (order, re.escape(frame).replace(r"\{n\}", f"({NOUN.pattern})"))
            for order, table in PHRASINGS[split].superlatives.items()
            for frame in table
        ]
        order, match = max(
            ((order, match) for order, frame in frames if (match := re.search(frame, text))),
            key=lambda x: len(x[1].group()),
        )
        assert re.search(ORDERS[order], text)
        candidates = meant(scene, *NOUN.findall(match.group())[0])
        values = {i: measures[order](scene, scene.objects[i - 1]) for i in candidates}
        best, second = sorted(values.values())[:-3:-1]
        assert values[query.target_ids[0]] == best and len(query.target_ids) == 1, query
        assert best - second > (10 if order in ("left", "right") else 0.003), query
        checked[order] += 1
    assert set(checked) == set(measures)


def test_targets_of_relations(asked):
    checked = Counter()
    for scene, query, split in asked:
        if query.kind != "relation":
            continue
        text = query.text.lower()
        noun, anchor = NOUN.findall(text)[-2:]
        (anchor_id,) = meant(scene, *anchor)
        (target_id,) = query.target_ids
        assert target_id in meant(scene, *noun)
        a, t = (scene.objects[i - 1] for i in (anchor_id, target_id))
        frames = {
            relation for relation, table in PHRASINGS[split].relations.items() for frame in table
            if frame.split("{n}")[1].split("{r}")[0].strip() in text
        }  # fmt: skip
        optical = [np.linalg.inv(scene.camera_pose) @ np.append(o.centre, 1.0) for o in (a, t)]
        ahead = (t.centre - a.centre) @ (scene.camera_pose[:3, 2] * (1, 1, 0))
        holds = {
            "left": optical[1][0] / optical[1][2] < optical[0][0] / optical[0][2],
            "right": optical[1][0] / optical[1][2] > optical[0][0] / optical[0][2],
            "behind": ahead > 0.02,
            "front": ahead < -0.02,
            "next": np.linalg.norm((t.centre - a.centre)[:2]) < 0.3,
        }
        assert any(holds[relation] for relation in frames), (query, frames)
        checked.update(frames)
    assert len(checked) == 5


def test_absent_things_are_absent(asked):
    checked = Counter()
    for scene, query, _ in asked:
        if query.kind != "absent":
            continue
        assert query.target_ids == ()
        checked[query.subkind] += 1
        if query.subkind == "affordance":
            assert query.answer == "There is nothing like that here."
            continue
        (phrase,) = query.phrases
        named = re.fullmatch(r"The (.+) (?:is|are) not (\w+)(?:, but (\w+)(?: or (\w+))?)?\.", query.answer)
        if query.subkind == "attribute":
            assert phrase.startswith(named[2] + " ")
            seen = {o.colour for o in scene.objects if o.category == named[1] and o.queryable}
            offered = {colour for colour in named.groups()[2:] if colour}
            assert offered <= seen and len(offered) == min(2, len(seen))
            assert {f"{colour} {named[1]}" for colour in seen} == set(query.alternatives)
        elif query.subkind == "unknown":
            assert query.answer == "There is nothing like that here."  # of words that the model was taught
        else:
            assert named[2] == "here" and named[1] not in {o.category for o in scene.objects}
        assert phrase in query.text.lower() or plural(phrase) in query.text.lower()
        if query.subkind != "unknown":
            (pair,) = NOUN.findall(phrase)
            assert meant(scene, *pair) == set()
            if query.subkind == "attribute":
                assert meant(scene, "", pair[1])
    assert set(checked) == {"known", "unknown", "attribute", "affordance"}


def test_facts_are_answered_by_every_object_that_fits(asked):
    wordings = {}
    for fact in FACTS:
        for table in (fact.train, fact.heldout):
            wordings |= dict.fromkeys(map(str.lower, table.uses + table.clauses), fact)
    checked = Counter()
    for scene, query, _ in asked:
        if query.kind in ("affordance", "knowledge") or query.subkind == "affordance":
            text = query.text.lower()
            used = [wording for wording in wordings if wording in text]
            if not used:
                assert query.subkind == "affordance" or any(name in text for name in MEMBERS), query
                continue
            fact = wordings[max(used, key=len)]
            assert {o.id for o in scene.objects if o.category in fact.categories} == set(query.target_ids), query
            checked[query.kind] += 1
    assert min(checked.values()) > 10 and len(checked) == 3


def test_answers_follow_from_the_targets(asked):
    for scene, query, _ in asked:
        assert query.answer.count("[SEG]") == len(query.target_ids) <= 4
        if not query.target_ids:
            continue
        items = [scene.objects[i - 1] for i in query.target_ids]
        assert all(item.queryable for item in items)
        assert [item.centroid[0] for item in items] == sorted(item.centroid[0] for item in items)
        assert query.phrases == tuple(f"{item.colour} {item.category}" for item in items)
        shown = [f"the {item.category} in {item.colour} [SEG]" for item in items]
        together = ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else shown[0]
        assert query.answer == together.replace("the", "The", 1) + "."


def test_shares_of_kinds(asked):
    kinds = Counter(query.kind for _, query, _ in asked)
    total = sum(kinds.values())
    assert 0.3 <= kinds["absent"] / total <= 0.37
    assert all(kinds[kind] / total > 0.03 for kind in kinds) and len(kinds) == 8
    refused = Counter(query.subkind for _, query, _ in asked if query.kind == "absent")
    for subkind, share in (("known", 0.35), ("unknown", 0.3), ("attribute", 0.25), ("affordance", 0.1)):
        assert refused[subkind] / kinds["absent"] == pytest.approx(share, abs=0.06)


def strings(value):
    """All strings of nested tables."""
    if isinstance(value, str):
        return {value.lower()}
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, tuple):
        value = vars(value).values()
    return set().union(*map(strings, value), set())


def split_strings(split):
    tables = (PHRASINGS[split], IMPOSSIBLE[split], UNKNOWN[split], *(getattr(fact, split) for fact in FACTS))
    return strings(tables)


def test_no_string_is_in_both_splits(asked):
    assert not split_strings("train") & split_strings("heldout")
    texts = {split: {q.text.lower().rstrip(".!?") for _, q, s in asked if s == split} for split in PHRASINGS}
    assert not texts["train"] & texts["heldout"]
    assert len(texts["train"]) > 1000


def test_heldout_wordings_are_made_of_training_words():
    known = set(re.findall(r"[a-z]+", " ".join([*split_strings("train"), *CATEGORIES, *COLOURS])))
    for tables in ((PHRASINGS["heldout"],), tuple(fact.heldout for fact in FACTS)):
        words = re.findall(r"[a-z]+", " ".join(sorted(strings(tables))))
        assert np.mean([word in known for word in words]) > 0.95


def test_every_fact_has_enough_wordings():
    assert set().union(*(fact.categories for fact in FACTS)) == set(CATEGORIES)
    for fact in FACTS:
        for form in ("uses", "clauses"):
            train, heldout = getattr(fact.train, form), getattr(fact.heldout, form)
            assert (not train and not heldout) or (len(set(train)) >= 8 and len(set(heldout)) >= 3), fact.categories


def test_bread_is_cut_with_the_knife():
    (fact,) = [fact for fact in FACTS if "cut the bread" in fact.train.uses]
    assert fact.categories == {"knife"}
    assert "something to {v} with" in PHRASINGS["train"].use_phrases and "hand me {x}" in PHRASINGS["train"].imperatives


def test_unknown_nouns_name_nothing_of_the_world():
    assert len(set(UNKNOWN["train"])) >= 200 and len(set(UNKNOWN["heldout"])) >= 60
    for noun in UNKNOWN["train"] + UNKNOWN["heldout"]:
        assert noun not in NAMES and noun not in MEMBERS and noun == noun.strip() and noun


def test_plurals():
    expected = {
        "red knife": "red knives",
        "pair of scissors": "pairs of scissors",
        "blue scissors": "blue scissors",
        "toothbrush": "toothbrushes",
        "cherry": "cherries",
        "toy": "toys",
        "coffee mug": "coffee mugs",
    }
    assert {noun: plural(noun) for noun in expected} == expected


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_invented_words_of_the_splits_differ(seed):
    random = Random(seed)
    train, heldout = invented(random, "train"), invented(random, "heldout")
    assert train != heldout and train.isalpha() and len(train) >= 4


def test_queries_are_deterministic_and_distinct():
    scene = generate_scene(2)
    first, second = (scene_queries(scene, np.random.default_rng(1), count=30) for _ in range(2))
    assert first == second and len({query.text for query in first}) == len(first) == 30
    assert scene_queries(scene, np.random.default_rng(2), count=30) != first
    assert len(scene_queries(scene, np.random.default_rng(2))) == 8


def test_kinds_and_refusals_by_request():
    scene = generate_scene(2)
    only = scene_queries(scene, np.random.default_rng(0), count=5, absent_share=0.0, kinds={"attribute": 1.0})
    assert only and {query.kind for query in only} == {"attribute"}
    assert {q.kind for q in scene_queries(scene, np.random.default_rng(0), count=9, absent_share=1.0)} == {"absent"}
    with pytest.raises(ConfigurationError, match="split"):
        scene_queries(scene, np.random.default_rng(0), "test")
    with pytest.raises(ConfigurationError, match="riddle"):
        scene_queries(scene, np.random.default_rng(0), kinds={"riddle": 1.0})
