"""Asks, looks, and takes: every task of every scene, with true and predicted masks, exact and noisy depth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.grasp.attempts import SUCCESS, GraspTask, SceneAttempts, scene_tasks
from lisa_ros.evaluation.grasp.film import film_strip, stacked
from lisa_ros.evaluation.grasp.gripper import load_mujoco
from lisa_ros.evaluation.grasp.proposals import RECIPES, true_grasp
from lisa_ros.evaluation.predictors import Predictor
from lisa_ros.progress import track
from lisa_ros.simulator.depth_noise import MODELS

CASES = ("true_clean", "true_noisy", "predicted_clean", "predicted_noisy")
TRUE_BOX = "true_box"
NOT_TRIED = ("does not fit", "unsettled")
_FILMED = ("predicted_noisy", "lisa")  # what a robot would do
_STRIPS = 2  # of successes and of failures, in a film


@dataclass(frozen=True)
class Trial:
    """One task, and what came of it.

    scene: number of the held-out scene. width: m between the pads on the object itself. excluded: "" or one of
    NOT_TRIED, then there are no outcomes: the object is too wide, or does not stay where the scene has it.
    outcomes: (case, recipe) -> SUCCESS or the cause of the failure; the case TRUE_BOX has no recipe ("").
    """

    scene: int
    category: str
    task: GraspTask
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
    for number in track(scenes, description="taking things", unit="scene", active=progress):
        attempts = SceneAttempts(number, noise, predictor)
        yield from (_trial(attempts, task) for task in scene_tasks(attempts.scene))


def _trial(attempts: SceneAttempts, task: GraspTask) -> Trial:
    gripper = attempts.world.gripper
    grasp, width = true_grasp(attempts.layout.objects[task.index], gripper)
    excluded = ""
    if width > gripper.opening - gripper.spare:
        excluded = NOT_TRIED[0]
    elif task.index in attempts.world.unsettled:
        excluded = NOT_TRIED[1]
    trial = Trial(attempts.number, attempts.scene.objects[task.index].category, task, width, excluded)
    if not excluded:
        trial.outcomes[TRUE_BOX, ""] = attempts.execute(task, grasp).cause or SUCCESS
        for case in CASES:
            for recipe in RECIPES:
                trial.outcomes[case, recipe], _ = attempts.take(task, case, recipe)
    return trial


def film(trials: Sequence[Trial], noise: str, predictor: Predictor) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB: film strips of the first successes and failures with predicted masks and noisy depth.

    They are done again, which gives the same as before. None where nothing was tried.
    """
    tried = [trial for trial in trials if not trial.excluded]
    good = [trial for trial in tried if trial.outcomes[_FILMED] == SUCCESS][:_STRIPS]
    strips, failures = [], 0
    for trial in [*good, *(trial for trial in tried if trial.outcomes[_FILMED] != SUCCESS)]:
        failures += trial not in good
        if failures > _STRIPS:
            break
        attempts = SceneAttempts(trial.scene, noise, predictor)
        outcome, frames = attempts.take(trial.task, *_FILMED, film=True)
        if frames:
            title = f'"{trial.task.question}" {trial.category}: {outcome}'
            strips.append(film_strip(attempts.layout, trial.task.index, frames, attempts.world.gripper, title))
    return stacked(strips) if strips else None
