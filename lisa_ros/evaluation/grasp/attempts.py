"""One scene with its physics, its camera and its questions: takes a thing by a mask, a depth image and a recipe."""

import numpy as np

from lisa_ros.evaluation.grasp.execution import Outcome
from lisa_ros.evaluation.grasp.gripper import plan
from lisa_ros.evaluation.grasp.proposals import propose
from lisa_ros.evaluation.grasp.tasks import Task, load_scene
from lisa_ros.evaluation.grasp.world import GraspWorld
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.geometry.report import TopGrasp
from lisa_ros.simulator import frame_rng, noisy_depth
from lisa_ros.types import Turn

SUCCESS = "success"


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
        self._predicted: dict[Task, np.ndarray | None] = {}

    def take(self, task: Task, case: str, recipe: str, film: bool = False) -> tuple[str, tuple]:
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

    def execute(self, task: Task, grasp: TopGrasp, film: bool = False) -> Outcome:
        """Carries out a grasp in the world."""
        return self.world.execute(task.index, plan(grasp, self.world.gripper), film)

    def _predict(self, task: Task) -> np.ndarray | None:
        """(H, W) bool: the first mask of the answer, as a robot with one hand takes it; None where there is none."""
        if task not in self._predicted:
            self._frame = self._frame or self._predictor.lisa.encode(self.scene.image)
            result = self._predictor(self._frame, Turn(task.question, (), "", task.kind, is_sentence=True))
            self._predicted[task] = next((target.mask for target in result.targets if target.mask.any()), None)
        return self._predicted[task]

    def _shows_another(self, mask: np.ndarray, index: int) -> bool:
        covered = np.bincount(self.scene.instances[mask], minlength=len(self.scene.objects) + 1)
        return bool(covered[1:].max() > covered[index + 1])
