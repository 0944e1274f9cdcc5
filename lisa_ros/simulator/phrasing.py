"""Surface forms of queries: frames around a noun phrase. Training and held-out tables share no string.

{x}: a noun phrase with its determiner; {a}: an indefinite one; {is}: is or are; {it}: it or them.
"""

from dataclasses import dataclass


def _lines(text):
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


TRAIN = Phrasing(
    imperatives=_lines("""
        hand me {x}
        give me {x}
        pass me {x}
        bring me {x}
        get me {x}
        show me {x}
        pick up {x}
        pick {x} up
        grab {x}
        take {x}
        find {x}
        find {x} for me
        locate {x}
        segment {x}
        mark {x}
        highlight {x}
        select {x}
        point at {x}
        point to {x}
        look for {x}
        look at {x}
        hold {x}
        move {x}
        lift {x}
        choose {x}
        draw a mask around {x}
        tell me which object is {x}
        show me where {x} {is}
        help me to find {x}
        let me see {x}
        let me have {x}
        put {x} into my hand
        output the mask of {x}
        output a segmentation mask for {x}
        detect {x}"""),
    openers=_lines("""
        {}
        {}
        {}
        {}
        please {}
        please {}
        {} please
        {}, please
        can you {}
        could you {}
        could you please {}
        would you {}
        can you please {}
        robot, {}
        hey robot, {}
        ok, {}
        now {}
        next, {}
        hello, {}
        I want you to {}
        I need you to {}
        go and {}
        you should {}
        just {}
        {} now
        {} for us
        {}, thank you"""),
    questions=_lines("""
        where {is} {x}
        where {is} {x}
        where do you see {x}
        where can I find {x}
        can you see {x}
        do you see {x}
        can you find {x}
        which of these {is} {x}
        which object {is} {x}
        which one {is} {x}
        what here {is} {x}
        can I have {x}
        may I have {x}
        could I have {x}
        who can give me {x}
        what about {x}
        did you find {x}
        where on the table {is} {x}
        in this image, where {is} {x}
        where did I put {x}"""),
    statements=_lines("""
        {x}
        {x}
        {x}, please
        please, {x}
        I need {x}
        I want {x}
        I would like {x}
        I would like to have {x}
        I am looking for {x}
        I need {x} now
        we need {x}
        I cannot find {x}
        I want to see {x}
        I would like to know where {x} {is}
        my task is to find {x}
        the robot should take {x}
        {x} {is} what I want"""),
    indefinite=_lines("""
        is there {a}
        is there {a} on the table
        is there {a} here
        is there {a} in this image
        do we have {a}
        do you have {a}
        can you see {a} here
        if there is {a}, show me
        there should be {a} here"""),
    places=_lines("""
        on the table
        in this image
        in the picture
        here
        you see
        from the table"""),
    contexts=_lines("""
        I am hungry
        I am busy
        I am in the kitchen
        I am setting the table
        we are cleaning up
        my hands are full
        it is time to start
        I am tired
        let us go on
        we have guests
        it is a nice day
        look at the table
        here is the next task
        I have a question"""),
    use_phrases=_lines("""
        something to {v} with
        something to {v} with
        something to {v}
        a thing to {v} with
        the thing to {v} with
        the object to {v} with
        what I need to {v}
        what I can use to {v}
        something I can use to {v}
        something that helps me to {v}
        the best thing to {v} with
        the item that I need to {v}"""),
    use_sentences=_lines("""
        I want to {v}
        I would like to {v}
        I need to {v}
        we want to {v}
        what can I use to {v}
        what do I need to {v}
        which object helps me to {v}
        how can I {v}
        what would you use to {v}
        which of these is good to {v} with
        can you help me to {v}
        is there something to {v} with
        I am going to {v}
        my plan is to {v}"""),
    clause_phrases=_lines("""
        something that {c}
        the thing that {c}
        the object that {c}
        the item that {c}
        the thing which {c}
        the one that {c}
        what {c}
        an object that {c}
        a thing that {c}"""),
    clause_sentences=_lines("""
        which of these {c}
        which object {c}
        what on the table {c}
        what here {c}
        which one {c}
        is there something that {c}
        which thing {c}
        do you see something that {c}"""),
    superlatives={
        "left": _lines("""the leftmost {n}
            the {n} on the far left
            the {n} farthest to the left
            the first {n} from the left
            the {n} furthest left
            the {n} at the left end"""),
        "right": _lines("""the rightmost {n}
            the {n} on the far right
            the {n} farthest to the right
            the first {n} from the right
            the {n} furthest right
            the {n} at the right end"""),
        "near": _lines("""the nearest {n}
            the closest {n}
            the {n} closest to the camera
            the {n} nearest to me
            the {n} closest to you
            the {n} that is nearest"""),
        "far": _lines("""the farthest {n}
            the most distant {n}
            the {n} farthest away
            the {n} farthest from the camera
            the furthest {n}
            the {n} farthest from you"""),
        "tall": _lines("""the tallest {n}
            the highest {n}
            the {n} with the greatest height
            the {n} that is tallest
            the {n} that reaches highest"""),
        "large": _lines("""the largest {n}
            the biggest {n}
            the {n} that is biggest
            the {n} of the largest size
            the {n} that is largest"""),
        "small": _lines("""the smallest {n}
            the tiniest {n}
            the {n} that is smallest
            the {n} of the smallest size
            the littlest {n}"""),
    },
    relations={
        "left": _lines("""the {n} left of {r}
            the {n} to the left of {r}
            the {n} on the left of {r}
            the {n} that is left of {r}
            the {n} on the left side of {r}"""),
        "right": _lines("""the {n} right of {r}
            the {n} to the right of {r}
            the {n} on the right of {r}
            the {n} that is right of {r}
            the {n} on the right side of {r}"""),
        "behind": _lines("""the {n} behind {r}
            the {n} that is behind {r}
            the {n} that stands behind {r}
            the {n} farther away than {r}
            the {n} in the back of {r}"""),
        "front": _lines("""the {n} in front of {r}
            the {n} that is in front of {r}
            the {n} that stands in front of {r}
            the {n} nearer than {r}
            the {n} before {r}"""),
        "next": _lines("""the {n} next to {r}
            the {n} beside {r}
            the {n} closest to {r}
            the {n} nearest to {r}
            the {n} right next to {r}
            the {n} by {r}"""),
    },
    groups=_lines("""
        all {p}
        all the {p}
        all of the {p}
        the {p}
        every {s}
        each {s}
        all {p} together
        the {k} {p}
        the {k} {p}"""),
)

HELDOUT = Phrasing(
    imperatives=_lines("""
        fetch me {x}
        give {x} to me
        hand {x} to me
        pass {x} over here
        bring {x} to the table
        point out {x}
        put a mask on {x}
        find and mark {x}
        find where {x} {is}
        tell me where {x} {is}
        look where {x} {is}
        show the mask of {x}
        take {x} and hold {it}
        help me to get {x}"""),
    openers=_lines("""
        {} if you can
        {} if you see {it}
        please, robot, {}
        would you please {}
        I would like you to {}
        you can now {}
        hello robot, could you {}
        your task is to {}
        next, please {}
        I need help, {}"""),
    questions=_lines("""
        do you know where {x} {is}
        can you show me where {x} {is}
        where in the picture {is} {x}
        which thing on the table {is} {x}
        could you find out where {x} {is}
        can the robot see {x}
        would you know where I can find {x}
        what do you see here that {is} {x}"""),
    statements=_lines("""
        I have to find {x}
        you should look for {x}
        I would like to see where {x} {is}
        what I need {is} {x}
        I want the robot to find {x}
        I am here for {x}
        we are looking for {x} here"""),
    indefinite=_lines("""
        can you tell me if there is {a}
        do you think that there is {a} here
        I would like to know if there is {a}
        is {a} on the table
        could there be {a} in the picture"""),
    places=_lines("""
        on this table
        in the image
        in this picture
        that you can see
        over there"""),
    contexts=_lines("""
        I am in the kitchen and busy
        here is a question
        it is time for the next task
        we have a nice day
        my guests are hungry
        I have to go on"""),
    use_phrases=_lines("""
        a good thing to {v} with
        an object that I can {v} with
        the item to {v} with
        something good to {v} with
        the thing that helps to {v}"""),
    use_sentences=_lines("""
        what should I use if I want to {v}
        which of these would you use to {v}
        I would like to {v}, what can I use
        we need something to {v} with
        which thing do I need to {v}
        show me how I can {v}"""),
    clause_phrases=_lines("""
        the object which {c}
        something here that {c}
        the thing on the table that {c}
        an item that {c}
        the one which {c}"""),
    clause_sentences=_lines("""
        can you tell me which of these {c}
        which item on the table {c}
        do you know what {c}
        I need to know which one {c}
        show me what here {c}"""),
    superlatives={
        "left": _lines("""the {n} that is leftmost
            the {n} nearest to the left side
            the {n} that is farthest to the left"""),
        "right": _lines("""the {n} that is rightmost
            the {n} nearest to the right side
            the {n} that is farthest to the right"""),
        "near": _lines("""the {n} that is closest to me
            the {n} nearest to the camera
            the {n} that is closest"""),
        "far": _lines("""the {n} that is farthest away
            the {n} most distant from me
            the {n} that is farthest from the camera"""),
        "tall": _lines("""the {n} that is the tallest
            the {n} with the highest top
            the {n} that stands highest"""),
        "large": _lines("""the {n} that is the largest
            the {n} with the biggest size
            the {n} of the greatest size"""),
        "small": _lines("""the {n} that is the smallest
            the {n} with the smallest size
            the {n} that is tiniest"""),
    },
    relations={
        "left": _lines("""the {n} that stands left of {r}
            the {n} which is to the left of {r}
            the {n} you see on the left of {r}"""),
        "right": _lines("""the {n} that stands right of {r}
            the {n} which is to the right of {r}
            the {n} you see on the right of {r}"""),
        "behind": _lines("""the {n} which is behind {r}
            the {n} you see behind {r}
            the {n} that is farther away than {r}"""),
        "front": _lines("""the {n} which is in front of {r}
            the {n} you see in front of {r}
            the {n} that is nearer than {r}"""),
        "next": _lines("""the {n} that is next to {r}
            the {n} which is closest to {r}
            the {n} that stands beside {r}"""),
    },
    groups=_lines("""
        all {p} that there are
        each of the {p}
        every single {s}
        all {k} {p}"""),
)
PHRASINGS = {"train": TRAIN, "heldout": HELDOUT}
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
