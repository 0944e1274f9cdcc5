"""Nouns: what the categories are called, and nouns of things that are never in a scene.

The latter come in two disjoint tables, for training and held out.
"""

import zlib

_IRREGULAR = {
    "knife": "knives",
    "scissors": "scissors",
    "leaf": "leaves",
    "scarf": "scarves",
    "mouse": "mice",
    "goose": "geese",
    "fish": "fish",
    "sheep": "sheep",
    "deer": "deer",
}
# Other names of a category; the category's own name is used most of the time.
SYNONYMS = {
    "mug": ("cup", "coffee mug", "coffee cup"),
    "phone": ("smartphone", "mobile phone", "cell phone"),
    "pan": ("frying pan",),
    "knife": ("kitchen knife",),
    "ball": ("toy ball", "beach ball"),
    "scissors": ("pair of scissors",),
}
# Further names, British and American among them, as people use them in passing.
EVERYDAY_NAMES = {
    "mug": ("teacup", "coffee cup", "cuppa"),
    "phone": ("mobile", "cellphone", "smart phone", "telephone", "handy phone"),
    "pan": ("skillet", "frypan", "saucepan"),
    "bottle": ("water bottle", "drinking bottle"),
    "plate": ("dinner plate", "dish plate"),
    "bowl": ("soup bowl", "cereal bowl", "salad bowl"),
    "knife": ("bread knife", "table knife", "steak knife"),
    "spoon": ("teaspoon", "tablespoon", "soup spoon"),
    "fork": ("dinner fork", "salad fork"),
    "scissors": ("shears", "pair of scissors"),
    "hammer": ("claw hammer", "mallet"),
    "screwdriver": ("screw driver",),
    "book": ("novel", "paperback", "textbook"),
    "candle": ("wax candle", "candlelight"),
    "ball": ("rubber ball", "bouncy ball"),
}
# Words of their own that are a slip away from a name.
_WORDS = frozenset(("pear", "pen", "pan", "pin", "ball", "bell", "bowl", "book", "hook", "cook"))


def plural(phrase: str) -> str:
    """Plural of a noun phrase: of its last word, or of the one before "of"."""
    first, of, rest = phrase.partition(" of ")
    if of:
        return plural(first) + of + rest
    before, space, noun = phrase.rpartition(" ")
    if noun in _IRREGULAR:
        many = _IRREGULAR[noun]
    elif noun.endswith(("s", "x", "ch", "sh")):
        many = noun + "es"
    elif noun.endswith("y") and noun[-2:-1] not in "aeiou":
        many = noun[:-1] + "ies"
    else:
        many = noun + "s"
    return before + space + many


def misspelt(random, word: str, split: str) -> str:
    """A word with one slip of the fingers; those of "train" and "heldout" never coincide. random: random.Random."""
    for _ in range(100):
        i = random.randrange(1, len(word))  # the first letter is right, as it mostly is
        slip = random.choice(("swap", "drop", "double", "other"))
        if slip == "swap":
            changed = word[: i - 1] + word[i] + word[i - 1] + word[i + 1 :]
        elif slip == "drop":
            changed = word[:i] + word[i + 1 :]
        elif slip == "double":
            changed = word[:i] + word[i] + word[i:]
        else:
            changed = word[:i] + random.choice("abcdefghijklmnopqrstuvwxyz") + word[i + 1 :]
        if changed not in (word, *_WORDS) and (zlib.crc32(changed.encode()) % 4 == 0) == (split == "heldout"):
            return changed
    return word


UNKNOWN = {
    "train": tuple(
        noun.strip()
        for noun in """
        airplane, alarm clock, ambulance, anchor, armchair, arrow, axe, backpack, bag, bagel, balloon, barrel,
        basket, bat, bathtub, battery, bear, bed, bee, bell, belt, bench, bicycle, bird, blanket, blender, board,
        boat, bone, boot, bow, box, bracelet, branch, brick, bridge, broccoli, broom, brush, bucket, bug, bun, bus,
        button, cabbage, cable, cactus, cage, cake, calculator, camel, camera, can, candy, canoe, cap, car, card,
        carpet, cart, castle, cat, chain, chair, cheese, cherry, chess board, chicken, church, cigar, clock, cloud,
        coat, coin, comb, computer, cookie, couch, cow, crab, crown, cucumber, curtain, deer, desk, diamond, dice,
        doll, dolphin, donkey, donut, door, doorbell, dragon, dress, drill, drum, duck, eagle, ear, egg, elephant,
        engine, envelope, eraser, fan, feather, fence, finger, fish, flag, flashlight, flower, flute, football
        helmet, fox, fridge, frog, garlic, ghost, giraffe, glass, glove, glue stick, goat, goose, grape, grill,
        guitar, hair dryer, hamburger, hat, headset, heart, helicopter, helmet, hen, honey jar, horse, hose,
        house, iron, jacket, jar, kettle, key, keyboard, kite, kiwi, ladder, lamp, laptop, leaf, letter, lighter,
        lion, lizard, lobster, magnet, mango, map, marble, mask, match, microphone, microwave, mirror, monkey, moon,
        motorcycle, mouse, mushroom, necklace, needle, nest, newspaper, onion, orange, oven, owl, paintbrush, panda,
        parrot, peach, peanut, pen, pencil, penguin, piano, pig, pillow, pineapple, pizza, plane, plant, plug,
        potato, printer, pumpkin, puppet, puzzle, rabbit, radio, rake, remote control, ring, robot, rocket,
        rope, rose, ruler, sandal, sandwich, saw, scarf, shark, sheep, shell, ship, shirt, shoe, shovel, skateboard,
        snail, snake, soap, sock, sofa, spider, sponge, stapler, star, stone, strawberry, suitcase, swan, sword,
        table lamp, tape measure, teapot, teddy bear, telescope, tennis racket, tent, ticket, tiger, tire, toaster,
        toilet, tomato, toothbrush, tractor, train, tree, truck, trumpet, turtle, umbrella, vase, violin, wallet,
        watch, watermelon, whale, wheel, whistle, window, wrench, zebra
        """.replace("\n", " ").split(",")
    ),
    "heldout": tuple(
        noun.strip()
        for noun in """
        accordion, ant, avocado, badge, ball pen, beetle, pinwheel, blackboard, bread roll, briefcase, broccoli
        head, bulldozer, butterfly, cello, chalk, chimney, coconut, compass, corkscrew, cricket bat, crocodile,
        cupcake, dinosaur, dustpan, earring, eggplant, fire truck, garden hose, globe, hairbrush, hammock, harp,
        hedgehog, hourglass, ice cube, kangaroo, ladybug, lantern, lipstick, lollipop, mailbox, melon, mop, notebook
        computer, octopus, padlock, paper clip, parachute, peacock, pepper mill, perfume, piggy bank, plum, pretzel,
        raincoat, rolling pin, safety pin, saxophone, scale, screw, shower, skirt, sled, slipper, squirrel,
        stopwatch, submarine, sunflower, syringe, thermometer, tie, toothpaste, traffic light, trash bin, tulip,
        typewriter, vacuum cleaner, walnut, wheelbarrow, wig, windmill, yoyo
        """.replace("\n", " ").split(",")
    ),
}
_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kl pl pr sh sk sl sn sp st tr th wh"
_VOWELS = "a e i o u a e i o u ai ea oo ee ou"
_CODAS = ["", "", "", "n", "r", "l", "s", "t", "m", "p", "ck", "nd", "mp", "x", "b"]


def invented(random, split: str) -> str:
    """A pronounceable word that means nothing; those of "train" and "heldout" never coincide. random: random.Random."""
    while True:
        word = "".join(
            random.choice(_ONSETS.split()) + random.choice(_VOWELS.split()) + random.choice(_CODAS)
            for _ in range(random.choice((1, 2, 2, 2, 3)))
        )
        if len(word) >= 4 and (zlib.crc32(word.encode()) % 4 == 0) == (split == "heldout"):
            return word
