"""Tables of words: frames and facts of the training and the held-out split."""

from lisa_ros.simulator.wordings import food, heldout, kitchen, things, train
from lisa_ros.simulator.wordings.everyday import EVERYDAY
from lisa_ros.simulator.wordings.impossible import IMPOSSIBLE
from lisa_ros.simulator.wordings.wishes import WISHES

PHRASINGS = {"train": train.TRAIN, "heldout": heldout.HELDOUT}
FACTS = kitchen.FACTS + food.FACTS + things.FACTS

__all__ = ["EVERYDAY", "FACTS", "IMPOSSIBLE", "PHRASINGS", "WISHES"]
