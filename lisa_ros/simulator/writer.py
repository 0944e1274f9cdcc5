"""Writes queries about what a scene shows."""

from collections import defaultdict

from lisa_ros.simulator import spatial
from lisa_ros.simulator.nouns import SYNONYMS, plural
from lisa_ros.simulator.palette import ALSO_SHOWS
from lisa_ros.simulator.phrasing import NUMBERS, article, finish, is_plural, render
from lisa_ros.simulator.query import TabletopQuery, object_phrase, reference_answer
from lisa_ros.simulator.wordings import FACTS, PHRASINGS
from lisa_ros.simulator.wordings.facts import CLASSES

MAX_TARGETS = 4
# Colours that single out "the red thing"; labels, metal, pages and shadows are white, grey, black or brown.
_PURE = frozenset(("red", "green", "blue", "yellow", "orange", "purple", "pink"))
_THINGS = ("thing", "object", "item")


class Writer:
    """Draws queries of each kind about one scene; a method gives None when the scene does not allow what it drew."""

    def __init__(self, scene, random, split):
        self.random, self.split = random, split
        self.words = PHRASINGS[split]
        self.view = spatial.SpatialRelations(scene)
        self.objects = scene.objects
        self.by_category = defaultdict(list)
        self.by_colour = defaultdict(list)
        for item in scene.objects:
            self.by_category[item.category].append(item)
            self.by_colour[item.colour].append(item)

    def category(self):
        """A query about an object by its category alone; None where there is none."""
        category = self.random.choice(list(self.by_category)) if self.objects else None
        if category is None or len(self.by_category[category]) != 1:
            return None
        return self._one("category", self.by_category[category], self._noun(category))

    def attribute(self):
        """A query about an object by its colour, alone or with its category or class; None where there is none."""
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
        """A query about an object by what it is used for; None where there is none."""
        return self._fact("uses", "affordance")

    def knowledge(self):
        """A query about an object by what is known about it; None where there is none."""
        if self.random.random() < 0.1:
            name, (_, members, close) = self.random.choice(list(CLASSES.items()))
            if any(c in self.by_category for c in close):
                return None
            return self._one("knowledge", [o for o in self.objects if o.category in members], name)
        return self._fact("clauses", "knowledge")

    def relation(self):
        """A query about an object by where it is beside another one; None where there is none."""
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
        """A query about an object by an order among several: the largest, the leftmost; None where there is none."""
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
        """A query about several objects; None where there is none."""
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
