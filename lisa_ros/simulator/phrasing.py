"""Surface forms of queries: frames around a noun phrase. Training and held-out tables share no string.

{x}: a noun phrase with its determiner; {a}: an indefinite one; {is}: is or are; {it}: it or them.
"""

from dataclasses import dataclass


def lines(text: str) -> tuple[str, ...]:
    """The lines of a table."""
    return tuple(line.strip() for line in text.strip().splitlines() if line.strip())


@dataclass(frozen=True)
class Phrasing:
    """Tables of one split.

    imperatives go with openers; questions and statements stand alone; indefinite frames need {a}; use_* and clause_*
    wrap facts ({v}: verb phrase, {c}: relative clause), the sentences stand alone. superlatives: {n} is the noun.
    relations: {n} left of {r}. groups: {p} plural, {s} singular, {k} number.
    """

    imperatives: tuple[str, ...]
    openers: tuple[str, ...]
    questions: tuple[str, ...]
    statements: tuple[str, ...]
    indefinite: tuple[str, ...]
    places: tuple[str, ...]
    contexts: tuple[str, ...]
    use_phrases: tuple[str, ...]
    use_sentences: tuple[str, ...]
    clause_phrases: tuple[str, ...]
    clause_sentences: tuple[str, ...]
    superlatives: dict[str, tuple[str, ...]]
    relations: dict[str, tuple[str, ...]]
    groups: tuple[str, ...]


NUMBERS = {2: "two", 3: "three", 4: "four"}


def is_plural(noun: str) -> bool:
    """Whether a noun phrase for one object is plural in grammar."""
    return noun.endswith("scissors") and "pair of" not in noun


def article(phrase: str) -> str:
    """The phrase with a or an (or "some" for a plural noun)."""
    if is_plural(phrase):
        return "some " + phrase
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def render(random, phrasing: Phrasing, phrase: str, indefinite: str | None, many: bool) -> str:
    """A request for a noun phrase. indefinite: the phrase as it follows "is there", None where it has no such form."""
    words = {"x": phrase, "is": "are" if many else "is", "it": "them" if many else "it"}
    draw = random.random()
    asks = False
    if indefinite is not None and draw < 0.1:
        text, asks = random.choice(phrasing.indefinite).format(a=indefinite, **words), True
    elif draw < 0.58:
        body = random.choice(phrasing.imperatives).format(**words)
        if random.random() < 0.2:
            body += " " + random.choice(phrasing.places)
        opener = random.choice(phrasing.openers)
        text = opener.replace("{it}", words["it"]).replace("{}", body)
        asks = text.startswith(("can", "could", "would"))
    elif draw < 0.8:
        text, asks = random.choice(phrasing.questions).format(**words), True
    else:
        text = random.choice(phrasing.statements).format(**words)
    return finish(random, phrasing, text, asks)


def finish(random, phrasing: Phrasing, text: str, asks: bool) -> str:
    """Adds context, case and punctuation."""
    end = random.choice(("?", "?", "")) if asks else random.choice((".", ".", "", "", "!"))
    text += end
    draw = random.random()
    if draw < 0.5:
        text = text[0].upper() + text[1:]
    elif draw < 0.53:
        text = text.upper()
    elif draw < 0.7:
        text = text.lower()
    if random.random() < 0.06:
        context = random.choice(phrasing.contexts)
        text = (context + ". " if draw >= 0.5 else context[0].upper() + context[1:] + ". ") + text
    return text
