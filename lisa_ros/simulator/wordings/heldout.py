"""Frames of the held-out split."""

from lisa_ros.simulator.phrasing import Phrasing, lines

HELDOUT = Phrasing(
    imperatives=lines("""
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
    openers=lines("""
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
    questions=lines("""
        do you know where {x} {is}
        can you show me where {x} {is}
        where in the picture {is} {x}
        which thing on the table {is} {x}
        could you find out where {x} {is}
        can the robot see {x}
        would you know where I can find {x}
        what do you see here that {is} {x}"""),
    statements=lines("""
        I have to find {x}
        you should look for {x}
        I would like to see where {x} {is}
        what I need {is} {x}
        I want the robot to find {x}
        I am here for {x}
        we are looking for {x} here"""),
    indefinite=lines("""
        can you tell me if there is {a}
        do you think that there is {a} here
        I would like to know if there is {a}
        is {a} on the table
        could there be {a} in the picture"""),
    places=lines("""
        on this table
        in the image
        in this picture
        that you can see
        over there"""),
    contexts=lines("""
        I am in the kitchen and busy
        here is a question
        it is time for the next task
        we have a nice day
        my guests are hungry
        I have to go on"""),
    use_phrases=lines("""
        a good thing to {v} with
        an object that I can {v} with
        the item to {v} with
        something good to {v} with
        the thing that helps to {v}"""),
    use_sentences=lines("""
        what should I use if I want to {v}
        which of these would you use to {v}
        I would like to {v}, what can I use
        we need something to {v} with
        which thing do I need to {v}
        show me how I can {v}"""),
    clause_phrases=lines("""
        the object which {c}
        something here that {c}
        the thing on the table that {c}
        an item that {c}
        the one which {c}"""),
    clause_sentences=lines("""
        can you tell me which of these {c}
        which item on the table {c}
        do you know what {c}
        I need to know which one {c}
        show me what here {c}"""),
    superlatives={
        "left": lines("""the {n} that is leftmost
            the {n} nearest to the left side
            the {n} that is farthest to the left"""),
        "right": lines("""the {n} that is rightmost
            the {n} nearest to the right side
            the {n} that is farthest to the right"""),
        "near": lines("""the {n} that is closest to me
            the {n} nearest to the camera
            the {n} that is closest"""),
        "far": lines("""the {n} that is farthest away
            the {n} most distant from me
            the {n} that is farthest from the camera"""),
        "tall": lines("""the {n} that is the tallest
            the {n} with the highest top
            the {n} that stands highest"""),
        "large": lines("""the {n} that is the largest
            the {n} with the biggest size
            the {n} of the greatest size"""),
        "small": lines("""the {n} that is the smallest
            the {n} with the smallest size
            the {n} that is tiniest"""),
    },
    relations={
        "left": lines("""the {n} that stands left of {r}
            the {n} which is to the left of {r}
            the {n} you see on the left of {r}"""),
        "right": lines("""the {n} that stands right of {r}
            the {n} which is to the right of {r}
            the {n} you see on the right of {r}"""),
        "behind": lines("""the {n} which is behind {r}
            the {n} you see behind {r}
            the {n} that is farther away than {r}"""),
        "front": lines("""the {n} which is in front of {r}
            the {n} you see in front of {r}
            the {n} that is nearer than {r}"""),
        "next": lines("""the {n} that is next to {r}
            the {n} which is closest to {r}
            the {n} that stands beside {r}"""),
    },
    groups=lines("""
        all {p} that there are
        each of the {p}
        every single {s}
        all {k} {p}"""),
)
