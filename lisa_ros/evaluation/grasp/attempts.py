"""One scene with its physics, its camera and its questions: takes a thing by a mask, a depth image and a recipe."""

from dataclasses import dataclass

import numpy as np

from lisa_ros.datasets.tabletop import TabletopDataset
from lisa_ros.evaluation.grasp.execution import GraspOutcome
from lisa_ros.evaluation.grasp.gripper import plan
from lisa_ros.evaluation.grasp.proposals import propose
from lisa_ros.evaluation.grasp.world import GraspWorld
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.geometry.report import TopGrasp
from lisa_ros.simulator import Scene, frame_rng, generate_scene, noisy_depth, scene_queries
from lisa_ros.simulator.layout import Layout, SceneOptions
from lisa_ros.simulator.layout_sampling import sample_layout
from lisa_ros.types import Turn

SUCCESS = "success"


SPLIT = "heldout"  # scenes and wordings that the packaged model was not trained on
HEIGHT, WIDTH = 480, 640
_KINDS = ("category", "attribute", "affordance", "knowledge", "relation", "superlative")
_DRAWN = 32  # questions about a scene, of which each object gets the first that means it alone


@dataclass(frozen=True)
class GraspTask:
    """`question` means object `index` (of `Scene.objects`) of the scene and nothing else."""

    index: int
    kind: str
    question: str


def load_scene(number: int) -> tuple[Scene, Layout]:
    """A held-out scene by its number, from 0, and what it was drawn from."""
    seed = TabletopDataset(SPLIT, number + 1).scene(number).seed
    return generate_scene(seed, HEIGHT, WIDTH), sample_layout(seed, SceneOptions(), HEIGHT / WIDTH)


def scene_tasks(scene: Scene) -> list[GraspTask]:
    """At most one task for each object; always the same for the same scene."""
    rng = np.random.default_rng((scene.seed, 3))
    queries = scene_queries(scene, rng, SPLIT, _DRAWN, absent_share=0.0, kinds=dict.fromkeys(_KINDS, 1.0))
    tasks = {}
    for query in queries:
        if len(query.target_ids) == 1:
            index = query.target_ids[0] - 1
            tasks.setdefault(index, GraspTask(index, query.kind, query.text))
    return [tasks[index] for index in sorted(tasks)]


class SceneAttempts:
    """A held-out scene by its number, seen once; every attempt starts with all objects where the scene has them.

    noise: of the noisy cases, a model of `noisy_depth`. Raises ConfigurationError where MuJoCo is not installed.
    """

    def __init__(self, number: int, noise: str, predictor: Predictor):
        self.number, self._predictor = number, predictor
        self.scene, self.layout = load_scene(number)
        self.world = GraspWorld(self.layout)
        scene = self.scene
        noisy = noisy_depth(scene.depth, scene.intrinsics, noise, frame_rng(scene.seed, 0.0))
        self._depths = {"clean": scene.depth, "noisy": noisy}
        self._frame = None
        self._predicted: dict[GraspTask, np.ndarray | None] = {}

    def take(self, task: GraspTask, case: str, recipe: str, film: bool = False) -> tuple[str, tuple]:
        """SUCCESS or why the object is not in the hand, and the frames of a film, if one was asked for and it moved.

        case: "true" or "predicted" masks and "clean" or "noisy" depth ("true_noisy"). recipe: as of `propose`.
        """
        masks, depth = case.split("_")
        mask = self._predict(task) if masks == "predicted" else self.scene.mask(task.index + 1)
        if mask is None:
            return "refused", ()
        grasp = propose(recipe, self.scene, mask, self._depths[depth])
        if isinstance(grasp, str):
            return grasp, ()
        outcome = self.execute(task, grasp, film)
        if not outcome.success and self._shows_another(mask, task.index):
            return "wrong object", outcome.frames
        return outcome.cause or SUCCESS, outcome.frames

    def execute(self, task: GraspTask, grasp: TopGrasp, film: bool = False) -> GraspOutcome:
        """Carries out a grasp in the world."""
        return self.world.execute(task.index, plan(grasp, self.world.gripper), film)

    def _predict(self, task: GraspTask) -> np.ndarray | None:
        """(H, W) bool: the first mask of the answer, as a robot with one hand takes it; None where there is none."""
        if task not in self._predicted:
            self._frame = self._frame or self._predictor.lisa.encode(self.scene.image)
            result = self._predictor(self._frame, Turn(task.question, (), "", task.kind, is_sentence=True))
            self._predicted[task] = next((target.mask for target in result.targets if target.mask.any()), None)
        return self._predicted[task]

    def _shows_another(self, mask: np.ndarray, index: int) -> bool:
        covered = np.bincount(self.scene.instances[mask], minlength=len(self.scene.objects) + 1)
        return bool(covered[1:].max() > covered[index + 1])
