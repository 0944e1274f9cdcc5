"""Writes queries whose answer is that the thing is not there."""

from lisa_ros.simulator.nouns import UNKNOWN, invented, plural
from lisa_ros.simulator.palette import ALSO_SHOWS, COLOURS, colours_of
from lisa_ros.simulator.phrasing import NUMBERS, is_plural, render
from lisa_ros.simulator.query import NOTHING_REFUSAL, TabletopQuery, object_phrase, refusal, wrong_colour
from lisa_ros.simulator.shapes import CATEGORIES
from lisa_ros.simulator.wordings import FACTS, IMPOSSIBLE
from lisa_ros.simulator.wordings.facts import CLASSES
from lisa_ros.simulator.writer import Writer

_ATTEMPTS = 32


class RefusalWriter(Writer):
    """A Writer that can also ask for what is absent."""

    def absent(self):
        """A query about what the scene does not hold: a category, an unknown noun, an attribute or a fact; or None."""
        write = self.random.choices(
            (self._absent_category, self._absent_unknown, self._absent_attribute, self._absent_fact),
            (0.35, 0.3, 0.25, 0.1),
        )[0]
        for _ in range(_ATTEMPTS):
            query = write()
            if query is not None:
                return query
        return None

    def _not_there(self, noun, subkind, answer, alternatives=()):
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
        return TabletopQuery(text, "absent", (), (noun,), answer, subkind, alternatives=alternatives)

    def _absent_category(self):
        if self.random.random() < 0.06:
            name, (_, members, close) = self.random.choice(list(CLASSES.items()))
            if any(o.category in members or o.category in close for o in self.objects):
                return None
            return self._not_there(name, "known", refusal(name))
        category = self.random.choice(CATEGORIES)
        if category in self.by_category:
            return None
        noun = self._noun(category)
        if self.random.random() < 0.2:
            noun = f"{self.random.choice(colours_of(category))} {noun}"
        return self._not_there(noun, "known", refusal(category))

    def _absent_unknown(self):
        noun = (
            invented(self.random, self.split) if self.random.random() < 0.3 else self.random.choice(UNKNOWN[self.split])
        )
        if self.random.random() < 0.2:
            noun = f"{self.random.choice(COLOURS)} {noun}"
        return self._not_there(noun, "unknown", NOTHING_REFUSAL)

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
        return self._not_there(f"{colour} {self._noun(item.category)}", "attribute", *self._corrected(colour, item))

    def _corrected(self, colour, item):
        """The answer that no object of an item's category has that colour, and what there is in its place."""
        seen = sorted((o for o in self.by_category[item.category] if o.queryable), key=lambda o: (o.centroid[0], o.id))
        colours = tuple(dict.fromkeys(o.colour for o in seen))
        return wrong_colour(colour, item.category, colours), tuple(dict.fromkeys(map(object_phrase, seen)))

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
        return TabletopQuery(text, "absent", (), ("nothing like that",), NOTHING_REFUSAL, "affordance")
