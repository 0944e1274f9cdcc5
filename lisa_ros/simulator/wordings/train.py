"""Frames of training."""

from lisa_ros.simulator.phrasing import Phrasing, lines

TRAIN = Phrasing(
    imperatives=lines("""
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
    openers=lines("""
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
    questions=lines("""
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
    statements=lines("""
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
    indefinite=lines("""
        is there {a}
        is there {a} on the table
        is there {a} here
        is there {a} in this image
        do we have {a}
        do you have {a}
        can you see {a} here
        if there is {a}, show me
        there should be {a} here"""),
    places=lines("""
        on the table
        in this image
        in the picture
        here
        you see
        from the table"""),
    contexts=lines("""
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
    use_phrases=lines("""
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
    use_sentences=lines("""
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
    clause_phrases=lines("""
        something that {c}
        the thing that {c}
        the object that {c}
        the item that {c}
        the thing which {c}
        the one that {c}
        what {c}
        an object that {c}
        a thing that {c}"""),
    clause_sentences=lines("""
        which of these {c}
        which object {c}
        what on the table {c}
        what here {c}
        which one {c}
        is there something that {c}
        which thing {c}
        do you see something that {c}"""),
    superlatives={
        "left": lines("""the leftmost {n}
            the {n} on the far left
            the {n} farthest to the left
            the first {n} from the left
            the {n} furthest left
            the {n} at the left end"""),
        "right": lines("""the rightmost {n}
            the {n} on the far right
            the {n} farthest to the right
            the first {n} from the right
            the {n} furthest right
            the {n} at the right end"""),
        "near": lines("""the nearest {n}
            the closest {n}
            the {n} closest to the camera
            the {n} nearest to me
            the {n} closest to you
            the {n} that is nearest"""),
        "far": lines("""the farthest {n}
            the most distant {n}
            the {n} farthest away
            the {n} farthest from the camera
            the furthest {n}
            the {n} farthest from you"""),
        "tall": lines("""the tallest {n}
            the highest {n}
            the {n} with the greatest height
            the {n} that is tallest
            the {n} that reaches highest"""),
        "large": lines("""the largest {n}
            the biggest {n}
            the {n} that is biggest
            the {n} of the largest size
            the {n} that is largest"""),
        "small": lines("""the smallest {n}
            the tiniest {n}
            the {n} that is smallest
            the {n} of the smallest size
            the littlest {n}"""),
    },
    relations={
        "left": lines("""the {n} left of {r}
            the {n} to the left of {r}
            the {n} on the left of {r}
            the {n} that is left of {r}
            the {n} on the left side of {r}"""),
        "right": lines("""the {n} right of {r}
            the {n} to the right of {r}
            the {n} on the right of {r}
            the {n} that is right of {r}
            the {n} on the right side of {r}"""),
        "behind": lines("""the {n} behind {r}
            the {n} that is behind {r}
            the {n} that stands behind {r}
            the {n} farther away than {r}
            the {n} in the back of {r}"""),
        "front": lines("""the {n} in front of {r}
            the {n} that is in front of {r}
            the {n} that stands in front of {r}
            the {n} nearer than {r}
            the {n} before {r}"""),
        "next": lines("""the {n} next to {r}
            the {n} beside {r}
            the {n} closest to {r}
            the {n} nearest to {r}
            the {n} right next to {r}
            the {n} by {r}"""),
    },
    groups=lines("""
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
