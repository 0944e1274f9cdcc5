"""Where a run's items and validation samples come from."""

from collections.abc import Mapping, Sequence

import numpy as np

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.errors import ConfigurationError
from lisa_ros.types import Sample
from training.data.item import TrainingItem
from training.stream import Items

_SCENES = 1 << 40  # of each split of the tabletop world


class TabletopItems:
    """The endless tabletop world: scene number `index` of the training split with up to `queries` questions."""

    def __init__(self, queries: int = 3) -> None:
        self.data = TabletopDataset("train", _SCENES, queries)

    def __getitem__(self, index: int) -> TrainingItem:
        return item_of(self.data[index % _SCENES], str(index))


def item_of(sample: Sample, key: str) -> TrainingItem:
    """Every turn of a sample as a conversation of its own; answers to what is absent are kept and have no mask."""
    masks = [target.mask for turn in sample.turns for target in turn.targets if target.mask is not None]
    return TrainingItem(
        image=sample.image,
        conversations=tuple(((turn.question, turn.answer),) for turn in sample.turns),
        masks=np.stack(masks) if masks else np.zeros((0, *sample.image.shape[:2]), bool),
        ignore=sample.ignore,
        source=sample.source,
        key=key,
    )


def open_items(data: Mapping[str, object], seed: int) -> Items:
    """The training stream that the `data` section describes. Raises ConfigurationError."""
    if set(data) == {"tabletop"}:
        return TabletopItems()
    raise ConfigurationError(f"data has {sorted(data)}; it must name a mixture or tabletop")


def open_validation(names: Sequence[str], data: Mapping[str, object]) -> dict[str, Sequence[Sample]]:
    """Validation sets by name, as `tabletop|val`. Raises ConfigurationError."""
    found = {}
    for name in names:
        kind, _, split = name.partition("|")
        if kind != "tabletop":
            raise ConfigurationError(f"validation.data: {name!r} is not known")
        found[name] = TabletopDataset(split, 200, 3)
    return found
