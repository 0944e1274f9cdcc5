"""How people ask in passing: frames around a noun phrase, lists, exclusions, ordinals. {x}, {is}, {it}: as in Phrasing.

Training and held-out tables share no string.
"""

from dataclasses import dataclass

from lisa_ros.simulator.phrasing import lines


@dataclass(frozen=True)
class Everyday:
    """Tables of one split.

    frames: around a noun phrase {x}. pairs: two noun phrases {a} and {b}; triples: three. dropped: what follows a list
    to leave {x} out. others: all of several {p} but one {o}. nth: the {k}-th {n} from a {side}; middle: the {n} between
    as many on either side. between: the {n} between {a} and {b}. larger, taller: of two {p}.
    """

    frames: tuple[str, ...]
    contexts: tuple[str, ...]
    pairs: tuple[str, ...]
    triples: tuple[str, ...]
    dropped: tuple[str, ...]
    others: tuple[str, ...]
    without: tuple[str, ...]
    nth: tuple[str, ...]
    middle: tuple[str, ...]
    between: tuple[str, ...]
    compared: dict[str, tuple[str, ...]]


TRAIN = Everyday(
    frames=lines("""
        I can't find {x} anywhere
        I can't see {x}
        has anyone seen {x}
        has anybody taken {x}
        where's {x}
        wheres {x}
        where did {x} go
        gimme {x}
        {x} pls
        {x} please, quick
        quick, {x}
        I lost {x}, do you see {it}
        I lost {x}. do you see {it}
        you forgot {x}
        you did not bring me {x}
        you always forget {x}
        not that, I meant {x}
        no, I said {x}
        I asked for {x}
        I am still waiting for {x}
        I have been looking for {x} all day
        I left {x} here somewhere
        my friend wants {x}
        my wife is asking for {x}
        mum wants {x}
        she needs {x}
        he would like {x}
        the children want {x}
        somebody should get {x}
        it would be nice to have {x}
        it would be great if you could get me {x}
        would you mind passing {x}
        do you mind handing me {x}
        I could use {x}
        I could do with {x}
        I'd love {x}
        I'd like {x}
        I'll take {x}
        I'm looking for {x}
        let's have {x}
        let's see {x}
        any idea where {x} {is}
        tell me, where {is} {x}
        sorry to bother you, but I need {x}
        first of all {x}
        only {x}
        what I want {is} {x}
        the robot should hold {x}
        is that {x}
        do we still have {x}
        have we got {x}
        what happened to {x}
        could somebody pass me {x}
        don't touch anything but {x}"""),
    contexts=lines("""
        this takes too long
        I am in a hurry
        it is late
        my hands are dirty
        the table is a mess
        what a mess
        dinner is almost ready
        I am cooking
        I am cleaning the kitchen
        my mother comes to visit
        we are about to eat
        thank you for your help
        sorry
        I can not reach that far
        my back hurts
        you are a good robot"""),
    pairs=lines("""
        {a} and {b}
        {a} and {b}
        {a} and {b}
        {a}, {b}
        {a} and also {b}
        {a} as well as {b}
        {a} plus {b}
        {a} & {b}
        {a} and then {b}
        first {a} and then {b}
        {a}, and {b}"""),
    triples=lines("""
        {a}, {b} and {c}
        {a}, {b} and {c}
        {a}, {b}, and {c}
        {a} and {b} and {c}
        {a}, {b} and also {c}
        {a}, {b}, {c}"""),
    dropped=lines("""
        , not {x}
        , but not {x}
        and not {x}
        , leave {x} where {it} {is}
        , don't bring {x}
        , I don't want {x}"""),
    others=lines("""
        the {p} that are not {c}
        all {p} except the {c} one
        all the {p} but the {c} one
        every {s} except the {c} one
        all {p}, but not the {c} one
        the {p}, only not the {c} one
        each {s} that is not {c}
        the {s} that is not {c}
        any {s} but the {c} one
        not the {c} {s} but the other
        the {s}, but not the {c} one
        the {s}, not the {c} one"""),
    without=lines("""
        everything but {x}
        everything except {x}
        all things except {x}
        all the objects but {x}
        anything that is not {x}
        anything but {x}
        whatever is not {x}
        the things that are not {x}
        all except {x}"""),
    nth=lines("""
        the {k} {n} from the {side}
        the {n} that is {k} from the {side}
        the {k} {n} counted from the {side}
        {n} number {m} from the {side}
        the {k} {n} when you start on the {side}"""),
    middle=lines("""
        the {n} in the middle
        the middle {n}
        the {n} in the middle of all {p}
        the central {n}"""),
    between=lines("""
        the {n} between {a} and {b}
        the {n} that is between {a} and {b}
        the {n} in between {a} and {b}
        the {n} that stands between {a} and {b}"""),
    compared={
        "large": lines("""the larger {n}
            the bigger {n}
            the larger of the two {p}
            the bigger of the {p}
            the {n} that is bigger
            the {n} that is larger than the other"""),
        "small": lines("""the smaller {n}
            the smaller of the two {p}
            the {n} that is smaller
            the {n} that is smaller than the other
            the littler {n}"""),
        "tall": lines("""the taller {n}
            the taller of the two {p}
            the higher {n}
            the {n} that is taller
            the {n} that is taller than the other"""),
        "near": lines("""the nearer {n}
            the closer {n}
            the nearer of the two {p}
            the {n} that is closer
            the {n} that is nearer to me"""),
        "far": lines("""the farther {n}
            the more distant {n}
            the farther of the two {p}
            the {n} that is farther away
            the {n} farther away from me"""),
        "left": lines("""the left {n}
            the {n} on the left
            the left one of the {p}
            the {n} on my left
            the {n} to my left"""),
        "right": lines("""the right {n}
            the {n} on the right
            the right one of the {p}
            the {n} on my right
            the {n} to my right"""),
    },
)

HELDOUT = Everyday(
    frames=lines("""
        does anyone know where {x} {is}
        I lost {x} here somewhere
        I have been waiting for {x}
        you forgot to bring {x}
        do you mind getting {x}
        my mother wants {x}
        would you mind looking for {x}
        I'd like to have {x}
        no, I meant {x}
        somebody has taken {x}
        I could really use {x}
        where the hell {is} {x}
        it would be good to have {x}
        I can't see where {x} {is}"""),
    contexts=lines("""
        I am late
        the kitchen is a mess
        I can not reach it
        my hands hurt
        dinner is late"""),
    pairs=lines("""
        {a} together with {b}
        both {a} and {b}
        {a} and {b} too
        {b} after {a}
        {a} and {b} for me"""),
    triples=lines("""
        {a} and {b}, and then {c}
        {a} and also {b} and {c}
        {a}, then {b} and {c}"""),
    dropped=lines("""
        , only not {x}
        , not {x} please
        , but leave {x} here"""),
    others=lines("""
        all {p} that are not {c}
        the {p} except the {c} one
        any {s} that is not {c}
        every {s} but the {c} one"""),
    without=lines("""
        all objects that are not {x}
        everything that is not {x}
        all the things but {x}
        anything except {x}"""),
    nth=lines("""
        the {n} which is {k} from the {side}
        the {k} {n}, counted from the {side}
        the {k} {n} if you start from the {side}"""),
    middle=lines("""
        the {n} that is in the middle
        the {n} which is in the middle
        the middle one of the {p}"""),
    between=lines("""
        the {n} which is between {a} and {b}
        the {n} you see between {a} and {b}
        the {n} that is in between {a} and {b}"""),
    compared={
        "large": ("the {n} which is larger", "the bigger one of the {p}", "the {n} that is bigger than the other"),
        "small": ("the {n} which is smaller", "the smaller one of the {p}"),
        "tall": ("the {n} which is taller", "the taller one of the {p}"),
        "near": ("the {n} which is closer", "the closer of the two {p}"),
        "far": ("the {n} which is farther away", "the more distant of the {p}"),
        "left": ("the {n} which is on the left", "the {n} on the left of the two"),
        "right": ("the {n} which is on the right", "the {n} on the right of the two"),
    },
)

EVERYDAY = {"train": TRAIN, "heldout": HELDOUT}
