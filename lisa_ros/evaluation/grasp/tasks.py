"""What the gripper is asked to take: one question for each object that a scene's questions can mean alone."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.simulator import Scene, generate_scene, scene_queries
from lisa_ros.simulator.layout import Layout, SceneOptions, sample_layout

SPLIT = "heldout"  # scenes and wordings that the packaged model was not trained on
HEIGHT, WIDTH = 480, 640
_KINDS = ("category", "attribute", "affordance", "knowledge", "relation", "superlative")
_DRAWN = 32  # questions about a scene, of which each object gets the first that means it alone


@dataclass(frozen=True)
class Task:
    """`question` means object `index` (of `Scene.objects`) of the scene and nothing else."""

    index: int
    kind: str
    question: str


def load_scene(number: int) -> tuple[Scene, Layout]:
    """A held-out scene by its number, from 0, and what it was drawn from."""
    seed = TabletopDataset(SPLIT, number + 1).scene(number).seed
    return generate_scene(seed, HEIGHT, WIDTH), sample_layout(seed, SceneOptions(), HEIGHT / WIDTH)


def scene_tasks(scene: Scene) -> list[Task]:
    """At most one task for each object; always the same for the same scene."""
    rng = np.random.default_rng((scene.seed, 3))
    queries = scene_queries(scene, rng, SPLIT, _DRAWN, absent_share=0.0, kinds=dict.fromkeys(_KINDS, 1.0))
    tasks = {}
    for query in queries:
        if len(query.target_ids) == 1:
            index = query.target_ids[0] - 1
            tasks.setdefault(index, Task(index, query.kind, query.text))
    return [tasks[index] for index in sorted(tasks)]
