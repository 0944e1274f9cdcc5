"""Language queries about a scene whose answer is beyond doubt, with their targets and reference answers."""

import random as std_random
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.simulator import spatial
from lisa_ros.simulator.facts import CLASSES, FACTS, IMPOSSIBLE
from lisa_ros.simulator.nouns import SYNONYMS, UNKNOWN, invented, plural
from lisa_ros.simulator.palette import ALSO_SHOWS, COLOURS, colours_of
from lisa_ros.simulator.phrasing import NUMBERS, PHRASINGS, article, finish, is_plural, render
from lisa_ros.simulator.scene import Scene, SceneObject
from lisa_ros.simulator.shapes import CATEGORIES

MAX_TARGETS = 4
ABSENT_SHARE = 0.33
_KINDS = {
    "category": 0.16, "attribute": 0.19, "affordance": 0.13, "knowledge": 0.12,
    "relation": 0.12, "superlative": 0.16, "group": 0.12,
}  # fmt: skip
KINDS = (*_KINDS, "absent")
# Colours that single out "the red thing"; labels, metal, pages and shadows are white, grey, black or brown.
_PURE = frozenset(("red", "green", "blue", "yellow", "orange", "purple", "pink"))
_THINGS = ("thing", "object", "item")
_ATTEMPTS = 32


@dataclass(frozen=True)
class TabletopQuery:
    """One question with its truth.

    text: what is asked. kind: one of KINDS. target_ids: `SceneObject.id`s in the order of the answer's `[SEG]` tokens
    (left to right in the image), empty when absent. phrases: "red mug" for each target; for an absent query what is not
    there.
    answer: reference words. subkind: for absent queries "known", "unknown", "attribute", "affordance"; else "".
    """

    text: str
    kind: str
    target_ids: tuple[int, ...]
    phrases: tuple[str, ...]
    answer: str
    subkind: str = ""


def scene_queries(
    scene: Scene,
    rng: np.random.Generator,
    split: str = "train",
    count: int | None = None,
    absent_share: float = ABSENT_SHARE,
    kinds: dict[str, float] | None = None,
) -> list[TabletopQuery]:
    """Draws queries about a scene, no text twice.

    split: "train" or "heldout", which decides the wording (tables without a common string). count: how many, default 8;
    fewer where a scene gives no more. kinds: weights of the kinds of present queries, default all.
    Raises ConfigurationError.
    """
    if split not in PHRASINGS:
        raise ConfigurationError(f"split={split!r}: choose one of {', '.join(PHRASINGS)}")
    unknown = set(kinds or ()) - set(_KINDS)
    if unknown:
        raise ConfigurationError(f"kinds={sorted(unknown)}: choose among {', '.join(_KINDS)}")
    weights = kinds or _KINDS
    writer = _Writer(scene, std_random.Random(int(rng.integers(2**62))), split)
    queries, texts = [], set()
    count = 8 if count is None else count
    for _ in range(count):
        # A kind that this scene cannot give is made up for by another present kind, so that refusals keep their share.
        absent = writer.random.random() < absent_share
        for attempt in range(_ATTEMPTS):
            if absent:
                kind = "absent"
            elif attempt % 4 == 0:
                kind = writer.random.choices(tuple(weights), tuple(weights.values()))[0]
            query = getattr(writer, kind)()
            if query is not None and query.text not in texts:
                texts.add(query.text)
                queries.append(query)
                break
    return queries


def object_phrase(item: SceneObject) -> str:
    """How an answer names an object: colour and category."""
    return f"{item.colour} {item.category}"


def reference_answer(phrases: tuple[str, ...]) -> str:
    """The answer that shows these objects, in this order."""
    named = [f"the {phrase} [SEG]" for phrase in phrases]
    if len(named) == 1:
        return f"It is {named[0]}."
    return f"They are {', '.join(named[:-1])} and {named[-1]}."


class _Writer:
    """Draws queries of each kind about one scene; a method gives None when the scene does not allow what it drew."""

    def __init__(self, scene, random, split):
        self.random, self.split = random, split
        self.words = PHRASINGS[split]
        self.view = spatial.View(scene)
        self.objects = scene.objects
        self.by_category = defaultdict(list)
        self.by_colour = defaultdict(list)
        for item in scene.objects:
            self.by_category[item.category].append(item)
            self.by_colour[item.colour].append(item)

    def category(self):
        category = self.random.choice(list(self.by_category)) if self.objects else None
        if category is None or len(self.by_category[category]) != 1:
            return None
        return self._one("category", self.by_category[category], self._noun(category))

    def attribute(self):
        if not self.objects:
            return None
        item = self.random.choice(self.objects)
        draw = self.random.random()
        if draw < 0.75:
            same = self.by_category[item.category]
            if len(same) == 1 and self.random.random() < 0.4:  # the colour should matter
                return None
            return self._one(
                "attribute", [o for o in same if o.colour == item.colour], f"{item.colour} {self._noun(item.category)}"
            )
        if item.colour not in _PURE:
            return None
        if draw < 0.92:
            if self._shown_by_others(item.colour):
                return None
            return self._one("attribute", self.by_colour[item.colour], f"{item.colour} {self.random.choice(_THINGS)}")
        name, (_, members, close) = self.random.choice(list(CLASSES.items()))
        if any(c in self.by_category for c in close):
            return None
        return self._one(
            "attribute", [o for o in self.by_colour[item.colour] if o.category in members], f"{item.colour} {name}"
        )

    def affordance(self):
        return self._fact("uses", "affordance")

    def knowledge(self):
        if self.random.random() < 0.1:
            name, (_, members, close) = self.random.choice(list(CLASSES.items()))
            if any(c in self.by_category for c in close):
                return None
            return self._one("knowledge", [o for o in self.objects if o.category in members], name)
        return self._fact("clauses", "knowledge")

    def relation(self):
        anchor = self.random.choice(self.objects) if self.objects else None
        if anchor is None or not anchor.queryable:
            return None
        same = self.by_category[anchor.category]
        name = anchor.category
        if len(same) > 1 or self.random.random() < 0.25:
            name = object_phrase(anchor)
            if sum(o.colour == anchor.colour for o in same) > 1:
                return None
        relation = self.random.choice(list(self.words.relations))
        others = [o for o in self.objects if o is not anchor]
        if self.random.random() < 0.35:
            noun, candidates = self.random.choice(_THINGS), others
        else:
            chosen = self.random.choice(others) if others else None
            if chosen is None:
                return None
            noun, candidates = self._noun(chosen.category), [o for o in others if o.category == chosen.category]
        targets = self.view.related(relation, anchor, candidates)
        if targets is None or len(targets) != 1:
            return None
        text = self.random.choice(self.words.relations[relation]).format(n=noun, r="the " + name)
        return self._shown("relation", targets, render(self.random, self.words, text, None, False))

    def superlative(self):
        draw = self.random.random()
        if draw < 0.3:
            noun, candidates = self.random.choice(_THINGS), list(self.objects)
        elif draw < 0.9:
            repeated = [c for c, items in self.by_category.items() if len(items) > 1]
            if not repeated:
                return None
            category = self.random.choice(repeated)
            noun, candidates = self._noun(category), self.by_category[category]
        else:
            noun, (_, members, close) = self.random.choice(list(CLASSES.items()))
            candidates = [o for o in self.objects if o.category in members]
            if any(c in self.by_category for c in close):
                return None
        order = self.random.choice(list(self.words.superlatives))
        target = self.view.extreme(order, candidates)
        if target is None:
            return None
        text = self.random.choice(self.words.superlatives[order]).format(n=noun)
        return self._shown("superlative", [target], render(self.random, self.words, text, None, False))

    def group(self):
        if len(self.objects) < 2:
            return None
        draw = self.random.random()
        first = self.random.choice(self.objects)
        if draw < 0.3:
            second = self.random.choice(self.objects)
            if first.category == second.category:
                return None
            targets = self.by_category[first.category] + self.by_category[second.category]
            phrase = f"the {self._noun(first.category)} and the {self._noun(second.category)}"
            if len(targets) != 2:
                return None
            return self._shown("group", targets, render(self.random, self.words, phrase, None, True))
        if draw < 0.65:
            noun, targets = first.category, self.by_category[first.category]
            if self.random.random() < 0.35:
                noun, targets = object_phrase(first), [o for o in targets if o.colour == first.colour]
            many = plural(noun)
        elif draw < 0.8:
            if first.colour not in _PURE or self._shown_by_others(first.colour):
                return None
            noun, targets = f"{first.colour} {self.random.choice(_THINGS)}", self.by_colour[first.colour]
            many = plural(noun)
        else:
            noun, (many, members, close) = self.random.choice(list(CLASSES.items()))
            targets = [o for o in self.objects if o.category in members]
            if any(c in self.by_category for c in close):
                return None
        if not 2 <= len(targets) <= MAX_TARGETS:
            return None
        frames = self.words.groups + (
            ("both {p}", "both of the {p}") if len(targets) == 2 and self.split == "train" else ()
        )
        frame = self.random.choice(frames)
        if "{s}" in frame and noun.endswith("scissors"):
            return None
        phrase = frame.format(p=many, s=noun, k=NUMBERS[len(targets)])
        return self._shown("group", targets, render(self.random, self.words, phrase, None, "{p}" in frame))

    def _shown_by_others(self, colour):
        """Whether an object of another colour also shows this one."""
        return any(colour in ALSO_SHOWS.get(o.category, ()) and o.colour != colour for o in self.objects)

    def _noun(self, category):
        names = SYNONYMS.get(category)
        return self.random.choice(names) if names and self.random.random() < 0.25 else category

    def _one(self, kind, targets, noun):
        """A request for the one object that a noun phrase means."""
        if len(targets) != 1:
            return None
        return self._shown(kind, targets, self._request(noun))

    def _request(self, noun):
        determined = "the " + noun if self.random.random() < 0.75 else article(noun)
        return render(self.random, self.words, determined, article(noun), is_plural(noun))

    def _fact(self, form, kind):
        category = self.random.choice(list(self.by_category)) if self.objects else None
        facts = [f for f in FACTS if category in f.categories and getattr(f.train, form)]
        if not facts:
            return None
        fact = facts[0] if self.random.random() < 0.7 else self.random.choice(facts)
        targets = [o for o in self.objects if o.category in fact.categories]
        if len(targets) > MAX_TARGETS:
            return None
        return self._shown(kind, targets, self._fact_text(getattr(fact, self.split), form))

    def _fact_text(self, wordings, form):
        if form == "uses":
            phrases, sentences, key = self.words.use_phrases, self.words.use_sentences, "v"
        else:
            phrases, sentences, key = self.words.clause_phrases, self.words.clause_sentences, "c"
        words = {key: self.random.choice(getattr(wordings, form))}
        if self.random.random() < 0.55:
            phrase = self.random.choice(phrases).format(**words)
            words["v"] = words.get("v", "")
            if words["v"].endswith((" from", " in", " on", " into")):  # "drink tea from" has its preposition
                phrase = phrase.removesuffix(" with")
            return render(self.random, self.words, phrase, None, False)
        text = self.random.choice(sentences)
        if words.get("v", "").endswith((" from", " in", " on", " into")):
            text = text.replace(" {v} with", " {v}")
            if "something" not in text:
                text = self.random.choice(tuple(s for s in self.words.use_sentences if "what" in s)).replace(
                    " {v} with", " {v}"
                )
        text = text.format(**words)
        return finish(self.random, self.words, text, not text.startswith(("I ", "we ", "my ", "show ")))

    def _shown(self, kind, targets, text):
        if not targets or not all(o.queryable for o in targets):
            return None
        targets = sorted(targets, key=lambda o: (o.centroid[0], o.id))
        phrases = tuple(object_phrase(o) for o in targets)
        return TabletopQuery(text, kind, tuple(o.id for o in targets), phrases, reference_answer(phrases))

    def absent(self):
        write = self.random.choices(
            (self._absent_category, self._absent_unknown, self._absent_attribute, self._absent_fact),
            (0.35, 0.3, 0.25, 0.1),
        )[0]
        for _ in range(_ATTEMPTS):
            query = write()
            if query is not None:
                return query
        return None

    def _not_there(self, noun, subkind):
        """Mostly a plain request; at times a superlative, a group or a relation: these words promise nothing."""
        draw = self.random.random()
        if draw < 0.1:
            order = self.random.choice(list(self.words.superlatives))
            phrase = self.random.choice(self.words.superlatives[order]).format(n=noun)
            text = render(self.random, self.words, phrase, None, False)
        elif draw < 0.18 and not is_plural(noun):
            frame = self.random.choice(self.words.groups)
            phrase = frame.format(p=plural(noun), s=noun, k=self.random.choice(list(NUMBERS.values())))
            text = render(self.random, self.words, phrase, None, "{p}" in frame)
        elif draw < 0.26 and len(self.by_category) > 1:
            relation = self.random.choice(list(self.words.relations))
            anchor = self.random.choice(self.objects)
            phrase = self.random.choice(self.words.relations[relation]).format(n=noun, r="the " + anchor.category)
            text = render(self.random, self.words, phrase, None, False)
        else:
            text = self._request(noun)
        return TabletopQuery(text, "absent", (), (noun,), f"There is no {noun} here.", subkind)

    def _absent_category(self):
        if self.random.random() < 0.06:
            name, (_, members, close) = self.random.choice(list(CLASSES.items()))
            if any(o.category in members or o.category in close for o in self.objects):
                return None
            return self._not_there(name, "known")
        category = self.random.choice(CATEGORIES)
        if category in self.by_category:
            return None
        noun = self._noun(category)
        if self.random.random() < 0.2:
            noun = f"{self.random.choice(colours_of(category))} {noun}"
        return self._not_there(noun, "known")

    def _absent_unknown(self):
        noun = (
            invented(self.random, self.split) if self.random.random() < 0.3 else self.random.choice(UNKNOWN[self.split])
        )
        if self.random.random() < 0.2:
            noun = f"{self.random.choice(COLOURS)} {noun}"
        return self._not_there(noun, "unknown")

    def _absent_attribute(self):
        if not self.objects:
            return None
        item = self.random.choice(self.objects)
        here = {o.colour for o in self.by_category[item.category]}
        # food in other colours too: there is no blue banana
        colour = self.random.choice(COLOURS)
        if self.random.random() < 0.5:  # a colour that something else here has
            colour = self.random.choice(self.objects).colour
        if colour in here or colour in ALSO_SHOWS.get(item.category, ()):
            return None
        return self._not_there(f"{colour} {self._noun(item.category)}", "attribute")

    def _absent_fact(self):
        form = self.random.choice(("uses", "clauses"))
        if self.random.random() < 0.4:
            wordings = IMPOSSIBLE[self.split]
        else:
            fact = self.random.choice(FACTS)
            if not getattr(fact.train, form) or any(o.category in fact.categories | fact.close for o in self.objects):
                return None
            wordings = getattr(fact, self.split)
        text = self._fact_text(wordings, form)
        return TabletopQuery(
            text, "absent", (), ("nothing like that",), "There is nothing like that here.", "affordance"
        )
