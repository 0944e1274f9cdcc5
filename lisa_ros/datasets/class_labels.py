"""Class names of semantic data sets in the order of their label values, and whether label images number them so.

With another numbering every class would be its neighbour. A single picture rarely shows that; what a set of them never
shows does.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from lisa_ros.errors import DatasetError


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


# Scene parsing benchmark of ADE20K (objectInfo150.txt), of each class's synonyms the one that LISA was trained with.
ADE20K = _names("""
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door,
    table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field,
    armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard,
    chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway,
    case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower,
    book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine,
    hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, television receiver, airplane,
    dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship,
    fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag,
    minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher,
    screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
    monitor, bulletin board, shower, radiator, glass, clock, flag
""")


# COCO-Stuff's labels.txt without its first line, "unlabeled"; "sky-other" is "sky" here as LISA was trained with it.
COCO_STUFF = _names("""
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, street sign,
    stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, hat,
    backpack, umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,
    baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife,
    spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch,
    potted plant, bed, mirror, dining table, window, desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell
    phone, microwave, oven, toaster, sink, refrigerator, blender, book, clock, vase, scissors, teddy bear, hair
    drier, toothbrush, hair brush, banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard,
    carpet, ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt,
    door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other,
    fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss,
    mountain, mud, napkin, net, paper, pavement, pillow, plant-other, plastic, platform, playingfield, railing,
    railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky, skyscraper, snow, solid-other, stairs,
    stone, straw, structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete,
    wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other,
    wood
""")


# Label values of the eleven things that no picture of COCO shows.
COCO_STUFF_UNUSED = frozenset(map(COCO_STUFF.index, _names(
    "street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, hair brush"
)))  # fmt: skip


_LOOKED_AT = 64  # label images, evenly spread over the set
_UNLABELLED = 255
_OTHER = len(COCO_STUFF) + 1  # id of all things together in COCO's maps of stuff alone, the 183rd
_log = logging.getLogger(__name__)

Pairs = Sequence[tuple[Path, Path]]


def check_coco_stuff(pairs: Pairs, read: Callable[[Path], np.ndarray]) -> None:
    """Raises DatasetError for maps of ids, from 1 on with 0 for unlabelled, in the place of stuffthingmaps.

    Where no map says which of both it is, a warning does. pairs: picture and label image. read: gives (H, W) labels.
    """
    shown = _values(pairs, read)
    ids_of_unused = {value + 1 for value in COCO_STUFF_UNUSED}
    only_ids = (COCO_STUFF_UNUSED - ids_of_unused) | {len(COCO_STUFF), _OTHER}
    only_labels = (ids_of_unused - COCO_STUFF_UNUSED) | {_UNLABELLED}
    folder = pairs[0][1].parent
    expected = f"label values from 0 on and {_UNLABELLED} for unlabelled pixels (stuffthingmaps_trainval2017)"
    if shown & only_ids and not shown & only_labels:
        raise DatasetError(
            f"{folder} has the values {sorted(shown & only_ids)}: its maps hold ids, from 1 on and 0 for unlabelled "
            f"pixels, as COCO's stuff_*_pixelmaps do; what is read here are {expected}"
        )
    if not shown & (only_ids | only_labels):
        _log.warning("%s does not show by its values whether they count from 0 or from 1; they are read as %s",
                     folder, expected)  # fmt: skip


def check_ade20k(pairs: Pairs, read: Callable[[Path], np.ndarray]) -> None:
    """Raises DatasetError for maps whose labels were reduced by one, so that 0 is a wall and 255 is unlabelled."""
    shown = _values(pairs, read)
    if _UNLABELLED in shown and len(ADE20K) not in shown:
        raise DatasetError(
            f"{pairs[0][1].parent} has the value {_UNLABELLED} and no {len(ADE20K)}: its maps were reduced by one, as "
            "some programs prepare them; what is read here are the published ones (0 for unlabelled, 1 for wall)"
        )


def _values(pairs: Pairs, read: Callable[[Path], np.ndarray]) -> set[int]:
    """What some of the label images show; errors of unreadable ones are raised when they are used."""
    shown: set[int] = set()
    for number in np.linspace(0, len(pairs) - 1, min(len(pairs), _LOOKED_AT)).astype(int):
        with suppress(DatasetError):
            shown |= set(np.unique(read(pairs[number][1])).tolist())
    return shown
