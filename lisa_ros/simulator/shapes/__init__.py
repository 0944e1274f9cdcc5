"""How the household categories are built from primitives."""

from lisa_ros.simulator.shapes import food, kitchen, things

BUILDERS = {
    "mug": kitchen.mug,
    "bottle": kitchen.bottle,
    "bowl": kitchen.bowl,
    "plate": kitchen.plate,
    "pan": kitchen.pan,
    "knife": kitchen.knife,
    "fork": kitchen.fork,
    "spoon": kitchen.spoon,
    "scissors": things.scissors,
    "hammer": things.hammer,
    "screwdriver": things.screwdriver,
    "banana": food.banana,
    "apple": food.apple,
    "pear": food.pear,
    "lemon": food.lemon,
    "carrot": food.carrot,
    "book": things.book,
    "ball": things.sphere_toy,
    "candle": things.candle,
    "phone": things.phone,
}
CATEGORIES = tuple(BUILDERS)


def build(category, colour, rng):
    """Parts of one object. colour: linear RGB in 0..1. rng: numpy Generator, draws the proportions."""
    return BUILDERS[category](colour, rng)
