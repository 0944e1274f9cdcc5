"""What the household categories are good for and known for. Training and held-out wordings are kept apart.

`uses` are verb phrases ("cut the bread": something to ... with), `clauses` finish "the thing that ...". `close`:
categories that a person might also accept, so that their presence forbids the claim that nothing fits.
"""

from dataclasses import dataclass

from lisa_ros.simulator.phrasing import lines


@dataclass(frozen=True)
class Wordings:
    """How a fact is asked about: by use ("cut the bread") and by relative clause (after "the thing that")."""

    uses: tuple[str, ...]
    clauses: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """What is known about some categories.

    Attributes:
        categories: Those of which it is true.
        close: Those that a person might accept too; where one is in the scene, nobody may claim that nothing fits.
        train: Wordings for training.
        heldout: Wordings that training never sees.
    """

    categories: frozenset[str]
    close: frozenset[str]
    train: Wordings
    heldout: Wordings


def fact(categories, uses="", clauses="", heldout_uses="", heldout_clauses="", close=""):
    """A Fact of words: categories between blanks, one wording in each line."""
    return Fact(
        frozenset(categories.split()), frozenset(close.split()),
        Wordings(lines(uses), lines(clauses)), Wordings(lines(heldout_uses), lines(heldout_clauses)),
    )  # fmt: skip


# Words for classes of categories: plural, members, and categories that make the word doubtful.
CLASSES = {
    "fruit": ("fruits", frozenset(("banana", "apple", "pear", "lemon")), frozenset()),
    "tool": ("tools", frozenset(("hammer", "screwdriver")), frozenset(("scissors", "knife", "fork", "spoon"))),
    "piece of cutlery": ("pieces of cutlery", frozenset(("knife", "fork", "spoon")), frozenset(("scissors",))),
    "vegetable": ("vegetables", frozenset(("carrot",)), frozenset()),
    "food item": ("food items", frozenset(("banana", "apple", "pear", "lemon", "carrot")), frozenset()),
}
