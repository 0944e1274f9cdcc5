"""Writes queries as people ask in passing: several things at once, exclusions, ordinals, wishes, misspellings."""

from dataclasses import dataclass
from itertools import pairwise

from lisa_ros.simulator.nouns import EVERYDAY_NAMES, UNKNOWN, invented, misspelt, plural
from lisa_ros.simulator.palette import ALSO_SHOWS, COLOURS
from lisa_ros.simulator.phrasing import finish, is_plural, render
from lisa_ros.simulator.query import (
    NOTHING_REFUSAL,
    OTHER_REFUSAL,
    TabletopQuery,
    object_phrase,
    reference_answer,
    refusal,
)
from lisa_ros.simulator.refusals import RefusalWriter
from lisa_ros.simulator.scene import SceneObject
from lisa_ros.simulator.shapes import CATEGORIES
from lisa_ros.simulator.wordings import EVERYDAY, WISHES
from lisa_ros.simulator.wordings.facts import CLASSES
from lisa_ros.simulator.writer import MAX_TARGETS

_NTH = {2: "second", 3: "third", 4: "fourth"}
_ORDINAL_MARGIN = 0.04  # of the image width, between neighbours
_THINGS = ("thing", "object", "item")
_ATTEMPTS = 16


@dataclass(frozen=True)
class _Part:
    """One thing of a list: its noun in the question, "red mug" or what else it is, the object, or how it is denied."""

    noun: str
    named: str
    item: SceneObject | None
    answer: str = ""
    alternatives: tuple[str, ...] = ()


def _listed(parts):
    """All in one sentence where all are there, else a sentence for each, in the order of the question."""
    if all(part.item for part in parts):
        return reference_answer(tuple(part.named for part in parts))
    return " ".join(part.answer or reference_answer((part.named,)) for part in parts)


def _words(phrase, many):
    """What a frame takes."""
    return {"x": phrase, "is": "are" if many else "is", "it": "them" if many else "it"}


class EverydayWriter(RefusalWriter):
    """A Writer of FURTHER_KINDS as well."""

    def __init__(self, scene, random, split):
        super().__init__(scene, random, split)
        self.talk = EVERYDAY[split]

    # Several things, each there or not.

    def mixed(self):
        """A list of two or three things of which some may be absent; None where the scene gives none."""
        parts = []
        for _ in range(2 if self.random.random() < 0.7 else 3):
            part = self._part([part.named for part in parts])
            if part is None:
                return None
            parts.append(part)
        asked = dict(zip("abc", (f"{self._determiner()}{part.noun}" for part in parts), strict=False))
        phrase = self.random.choice(self.talk.pairs if len(parts) == 2 else self.talk.triples).format(**asked)
        if phrase.startswith(asked["b"]):  # "the fork after the mug"
            parts.reverse()
        text = self._but_not(phrase, parts) if self.random.random() < 0.12 else self._asked(phrase, many=True)
        if all(part.item for part in parts):  # from left to right, as other groups
            parts.sort(key=lambda part: (part.item.centroid[0], part.item.id))
        shown = [part.item for part in parts if part.item]
        return TabletopQuery(
            text, "mixed", tuple(item.id for item in shown), tuple(map(object_phrase, shown)), _listed(parts),
            absent=tuple(part.named for part in parts if not part.item),
            alternatives=tuple(name for part in parts for name in part.alternatives),
        )  # fmt: skip

    def _part(self, used):
        """One thing of a list, other than those used; None where none was found."""
        for _ in range(_ATTEMPTS):
            if self.objects and self.random.random() < 0.6:
                part = self._present_part()
            else:
                part = self.random.choice((self._missing, self._missing, self._strange, self._miscoloured))()
            strange = part is not None and part.answer == OTHER_REFUSAL and self._strange_among(used)
            if part is not None and part.named not in used and not strange:
                return part
        return None

    @staticmethod
    def _strange_among(used):
        """Whether a thing that the model has no word for is in a list: of two, no answer could tell them apart."""
        return any(name.split()[-1] not in CATEGORIES for name in used)

    def _present_part(self):
        item = self.random.choice(self.objects)
        same = self.by_category[item.category]
        noun = self._noun(item.category)
        if not item.queryable:
            return None
        if len(same) > 1 or self.random.random() > 0.55:
            noun = f"{item.colour} {noun}"
        return _Part(noun, object_phrase(item), item) if sum(o.colour == item.colour for o in same) == 1 else None

    def _missing(self):
        category = self.random.choice(CATEGORIES)
        return None if category in self.by_category else _Part(self._noun(category), category, None, refusal(category))

    def _strange(self):
        made_up = self.random.random() < 0.3
        noun = invented(self.random, self.split) if made_up else self.random.choice(UNKNOWN[self.split])
        return _Part(noun, noun, None, OTHER_REFUSAL)

    def _miscoloured(self):
        if not self.objects:
            return None
        item = self.random.choice(self.objects)
        colour = self.random.choice((self.random.choice(COLOURS), self.random.choice(self.objects).colour))
        here = {o.colour for o in self.by_category[item.category]}
        if colour in here or colour in ALSO_SHOWS.get(item.category, ()):
            return None
        answer, alternatives = self._corrected(colour, item)
        return _Part(f"{colour} {self._noun(item.category)}", f"{colour} {item.category}", None, answer, alternatives)

    def _but_not(self, phrase, parts):
        """The list with the remark that something else is not wanted."""
        named = {word for part in parts for word in part.named.split()}
        other = self.random.choice([category for category in CATEGORIES if category not in named])
        dropped = self.random.choice(self.talk.dropped).format(**_words(f"the {other}", is_plural(other)))
        return finish(self.random, self.words, phrase + (dropped if dropped[0] == "," else f" {dropped}"), False)

    # What is asked for by what it is not.

    def exclusion(self):
        """A query about all but some objects; None where the scene gives none."""
        if len(self.objects) < 2:
            return None
        if self.random.random() < 0.7:
            repeated = [items for items in self.by_category.values() if len({o.colour for o in items}) > 1]
            if not repeated:
                return None
            items = self.random.choice(repeated)
            colour = self.random.choice([o.colour for o in items])
            targets = [o for o in items if o.colour != colour]
            if any(colour in ALSO_SHOWS.get(o.category, ()) for o in targets):
                return None
            noun = self._noun(items[0].category)
            frame = self.random.choice(self.talk.others)
            each = frame.startswith(("every", "each", "any"))
            if "{s}" in frame and (is_plural(noun) or (len(targets) > 1 and not each)):
                return None
            phrase = frame.format(p=plural(noun), s=noun, c=colour)
            many = "{p}" in frame
        else:
            if self.random.random() < 0.6:
                left_out = self.random.choice(self.objects)
                noun, targets = left_out.category, [o for o in self.objects if o.category != left_out.category]
            else:
                noun, (_, members, close) = self.random.choice(list(CLASSES.items()))
                targets = [o for o in self.objects if o.category not in members]
                if any(c in self.by_category for c in close) or len(targets) == len(self.objects):
                    return None
            phrase = self.random.choice(self.talk.without).format(x="the " + noun)
            many = True
        if not 1 <= len(targets) <= MAX_TARGETS:
            return None
        return self._shown("exclusion", targets, self._asked(phrase, many))

    # What is asked for by its place among others.

    def ordinal(self):
        """A query about the second from the left, the one between two others, the larger of two; None without one."""
        return self.random.choice((self._nth, self._nth, self._compared, self._compared, self._between))()

    def _among(self):
        """(noun, candidates): several of one category, or all things."""
        repeated = [c for c, items in self.by_category.items() if len(items) > 1]
        if repeated and self.random.random() < 0.75:
            category = self.random.choice(repeated)
            return self._noun(category), self.by_category[category]
        return self.random.choice(_THINGS), list(self.objects)

    def _nth(self):
        noun, items = self._among()
        if len(items) < 3 or len(items) > 6 or not all(o.queryable for o in items):
            return None
        order = sorted(items, key=lambda o: o.centroid[0])
        least = _ORDINAL_MARGIN * self.view.width
        if any(b.centroid[0] - a.centroid[0] < least for a, b in pairwise(order)):
            return None
        if len(items) % 2 and self.random.random() < 0.4:
            phrase = self.random.choice(self.talk.middle).format(n=noun, p=plural(noun))
            return self._placed(order[len(items) // 2], phrase)
        number, side = self.random.randint(2, min(4, len(items))), self.random.choice(("left", "right"))
        if is_plural(noun):
            return None
        phrase = self.random.choice(self.talk.nth).format(k=_NTH[number], m=number, n=noun, side=side)
        return self._placed(order[number - 1] if side == "left" else order[-number], phrase)

    def _compared(self):
        pairs = [c for c, items in self.by_category.items() if len(items) == 2]
        if not pairs:
            return None
        category = self.random.choice(pairs)
        order = self.random.choice(list(self.talk.compared))
        target = self.view.extreme(order, self.by_category[category])
        if target is None:
            return None
        noun = self._noun(category)
        return self._placed(target, self.random.choice(self.talk.compared[order]).format(n=noun, p=plural(noun)))

    def _between(self):
        single = [items[0] for items in self.by_category.values() if len(items) == 1 and items[0].queryable]
        if len(single) < 2 or len(self.objects) < 3:
            return None
        first, second = self.random.sample(single, 2)
        inside, doubtful = [], False
        for item in self.objects:
            if item is not first and item is not second:
                place = self.view.between(first, second, item)
                doubtful |= place is None or not item.queryable
                inside += [item] if place else []
        if doubtful or len(inside) != 1:
            return None
        target = inside[0]
        noun = self.random.choice(_THINGS)
        if self.random.random() < 0.5 and len(self.by_category[target.category]) == 1:
            noun = self._noun(target.category)
        phrase = self.random.choice(self.talk.between)
        return self._placed(target, phrase.format(n=noun, a="the " + first.category, b="the " + second.category))

    def _placed(self, target, phrase):
        return self._shown("ordinal", [target], self._asked(phrase, False))

    # In passing.

    def everyday(self):
        """A wish, complaint or riddle, another name or a misspelling of a thing, there or absent; None without one."""
        draw = self.random.random()
        if draw < 0.4:
            return self._wish()
        there = self.random.random() < 0.7
        if there:
            item = self.random.choice(self.objects) if self.objects else None
            if item is None or len(self.by_category[item.category]) > 1:
                return None
            category = item.category
        else:
            category = self.random.choice(CATEGORIES)
            if category in self.by_category:
                return None
        noun = category
        if draw < 0.55:
            noun = misspelt(self.random, category, self.split)
        elif draw < 0.75 and category in EVERYDAY_NAMES:
            noun = self.random.choice(EVERYDAY_NAMES[category])
        text = self._in_passing("the " + noun if self.random.random() < 0.8 else "my " + noun, is_plural(noun))
        if there:
            return self._shown("everyday", [item], text)
        return TabletopQuery(text, "everyday", (), (noun,), refusal(category), "known")

    def _wish(self):
        wish = self.random.choice(WISHES)
        targets = self.by_category.get(wish.category, [])
        if any(c in self.by_category for c in wish.close) or len(targets) > MAX_TARGETS:
            return None
        text = finish(self.random, self.words, self.random.choice(getattr(wish, self.split)), False)
        if targets:
            return self._shown("everyday", targets, text)
        if self.random.random() < 0.7:  # most wishes can be fulfilled
            return None
        return TabletopQuery(text, "everyday", (), ("nothing like that",), NOTHING_REFUSAL, "affordance")

    def _in_passing(self, phrase, many):
        words = _words(phrase, many)
        frame = self.random.choice(self.talk.frames)
        asks = frame.startswith(("has", "where", "would", "do ", "any", "is ", "have", "what h", "could", "does"))
        text = finish(self.random, self.words, frame.format(**words), asks)
        if self.random.random() < 0.15:
            text = f"{self.random.choice(self.talk.contexts)}{self.random.choice(('. ', ', ', ' '))}{text}"
        return text

    def _asked(self, phrase, many):
        """A request for a phrase, plain or in passing."""
        if self.random.random() < 0.3:
            return self._in_passing(phrase, many)
        return render(self.random, self.words, phrase, None, many)

    def _determiner(self):
        return self.random.choice(("the ", "the ", "the ", "a ", "my ", ""))
