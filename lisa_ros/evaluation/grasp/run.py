"""Asks, looks, and takes: every task of every scene, with true and predicted masks, exact and noisy depth."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.grasp.gripper import Gripper, plan
from lisa_ros.evaluation.grasp.hand import load_mujoco
from lisa_ros.evaluation.grasp.proposals import RECIPES, propose, true_grasp
from lisa_ros.evaluation.grasp.tasks import Task, load_scene, scene_tasks
from lisa_ros.evaluation.grasp.world import GraspWorld
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.simulator import Scene, frame_rng, noisy_depth
from lisa_ros.simulator.depth_noise import MODELS
from lisa_ros.types import Turn

CASES = ("true_clean", "true_noisy", "predicted_clean", "predicted_noisy")
TRUE_BOX = "true_box"
SUCCESS = "success"
NOT_TRIED = ("does not fit", "unsettled")


@dataclass(frozen=True)
class Trial:
    """One task, and what came of it.

    scene: number of the held-out scene. width: m between the pads on the object itself. excluded: "" or one of
    NOT_TRIED, then there are no outcomes: the object is too wide, or does not stay where the scene has it.
    outcomes: (case, recipe) -> SUCCESS or the cause of the failure; the case TRUE_BOX has no recipe ("").
    """

    scene: int
    category: str
    task: Task
    width: float
    excluded: str = ""
    outcomes: dict[tuple[str, str], str] = field(default_factory=dict)


def run_trials(scenes: range, noise: str, predictor: Predictor, progress: bool = False) -> Iterator[Trial]:
    """The trials of held-out scenes by number. noise: of the noisy cases, a model of `noisy_depth` other than "none".

    Raises ConfigurationError for another noise, or where MuJoCo is not installed; MemoryBudgetError.
    """
    load_mujoco()
    if noise not in MODELS[1:]:
        raise ConfigurationError(f"noise {noise!r}: choose one of {', '.join(MODELS[1:])}")
    with tqdm(scenes, desc="scenes", unit="scene", disable=not progress) as bar:
        done = 0
        for number in bar:
            for trial in _scene_trials(number, noise, predictor):
                done += 1
                bar.set_postfix(objects=done, refresh=False)
                yield trial


def _scene_trials(number: int, noise: str, predictor: Predictor) -> Iterator[Trial]:
    scene, layout = load_scene(number)
    world, gripper = GraspWorld(layout), Gripper()
    depths = {
        "clean": scene.depth,
        "noisy": noisy_depth(scene.depth, scene.intrinsics, noise, frame_rng(scene.seed, 0.0)),
    }
    frame = None
    for task in scene_tasks(scene):
        grasp, width = true_grasp(layout.objects[task.index], gripper)
        excluded = ""
        if width > gripper.opening - gripper.spare:
            excluded = NOT_TRIED[0]
        elif task.index in world.unsettled:
            excluded = NOT_TRIED[1]
        trial = Trial(number, scene.objects[task.index].category, task, width, excluded)
        if not excluded:
            frame = frame or predictor.lisa.encode(scene.image)
            masks = {"true": scene.mask(task.index + 1), "predicted": predicted_mask(predictor, frame, task)}
            attempt = Attempt(scene, world, task.index)
            trial.outcomes[TRUE_BOX, ""] = attempt.execute(grasp)
            for case in CASES:
                mask, depth = (kind[word] for kind, word in zip((masks, depths), case.split("_"), strict=True))
                for recipe in RECIPES:
                    trial.outcomes[case, recipe] = attempt.take(recipe, mask, depth)
        yield trial


def predicted_mask(predictor: Predictor, frame, task: Task) -> np.ndarray | None:
    """(H, W) bool: the first target of the answer, as a robot with one hand takes it; None where there is none."""
    result = predictor(frame, Turn(task.question, (), "", task.kind, is_sentence=True))
    return next((target.mask for target in result.targets if target.mask.any()), None)


@dataclass(frozen=True)
class Attempt:
    """Tries to take one object of a scene."""

    scene: Scene
    world: GraspWorld
    target: int

    def take(self, recipe: str, mask: np.ndarray | None, depth: np.ndarray) -> str:
        """SUCCESS, or why the object is not in the hand."""
        if mask is None:
            return "refused"
        grasp = propose(recipe, self.scene, mask, depth)
        if isinstance(grasp, str):
            return grasp
        outcome = self.execute(grasp)
        if outcome != SUCCESS and self._shows_another(mask):
            return "wrong object"
        return outcome

    def execute(self, grasp) -> str:
        """SUCCESS, or what went wrong in carrying out a grasp."""
        return self.world.execute(self.target, plan(grasp, self.world.gripper)).cause or SUCCESS

    def _shows_another(self, mask: np.ndarray) -> bool:
        covered = np.bincount(self.scene.instances[mask], minlength=self.target + 2)
        return covered[1:].max() > covered[self.target + 1]
