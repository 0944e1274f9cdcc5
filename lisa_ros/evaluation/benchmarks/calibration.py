"""Fits the quality of masks to rows whose truth is known, and says how well it holds on images it was not fitted to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from lisa_ros.errors import ConfigurationError
from lisa_ros.evaluation.benchmarks.judged_masks import JudgedMask
from lisa_ros.evaluation.benchmarks.rows import QueryRow
from lisa_ros.inference.quality import PREDICTORS, QualityCalibration, mask_digest, predictors

BINS = 10  # of equal width, for the calibration error
_LEAST = 20  # right masks and wrong ones that each half needs
_PENALTY = 1.0  # on squared weights of standardized predictors: a predictor that never varies gets none
_STEPS, _SMALL_STEP = 100, 1e-8


def calibrate(rows: Sequence[QueryRow], network: nn.Module, **fitted_to: object) -> QualityCalibration:
    """A calibration of the checkpoint whose answers the rows are.

    It is fitted to every other image; `held_out` tells of the rest, which had no part in it.

    Args:
        rows: Scored queries about several images.
        network: That gave them.
        **fitted_to: What is noted of the fit: model, data set.

    Raises:
        ConfigurationError: There are too few masks, right ones or wrong ones.
    """
    halves = split_by_image(rows)
    for masks in halves:
        right = sum(mask.right for mask in masks)
        if min(right, len(masks) - right) < _LEAST:
            raise ConfigurationError(
                f"{right} right masks and {len(masks) - right} wrong ones in half of the images are too few to "
                f"calibrate; it takes {_LEAST} of each. Ask about more images"
            )
    bias, weights = _fit(halves[0])
    noted = {**fitted_to, "masks": len(halves[0])}
    fitted = QualityCalibration(bias, dict(zip(PREDICTORS, weights, strict=True)), mask_digest(network), noted)
    told = [fitted.probability(mask.mean_probability, mask.features) for mask in halves[1]]
    held_out = reliability(told, [mask.right for mask in halves[1]])
    return QualityCalibration(fitted.bias, fitted.weights, fitted.checkpoint, noted, held_out)


def split_by_image(rows: Sequence[QueryRow]) -> tuple[list[JudgedMask], list[JudgedMask]]:
    """The masks of every other image, and those of the rest: masks of one image are alike."""
    half = {key: number % 2 for number, key in enumerate(sorted({row.key for row in rows}))}
    return tuple([mask for row in rows if half[row.key] == one for mask in row.judged] for one in (0, 1))


def reliability(told: Sequence[float], right: Sequence[bool]) -> dict[str, object]:
    """How far probabilities can be believed.

    Args:
        told: The probabilities, at least one.
        right: What came true.

    Returns:
        masks: number; right: share; ece: expected calibration error, the mean difference of told and true over BINS of
        equal width, weighted by their masks; brier: mean squared error; auroc: probability that a right mask is told to
        be better than a wrong one, None without one of each; bins: (masks, mean told, share right) of those with any.
    """
    told, right = np.asarray(told, np.float64), np.asarray(right, np.float64)
    places = np.minimum((told * BINS).astype(int), BINS - 1)
    bins = [
        (int(chosen.sum()), float(told[chosen].mean()), float(right[chosen].mean()))
        for chosen in (places == number for number in range(BINS))
        if chosen.any()
    ]
    error = sum(count * abs(mean - share) for count, mean, share in bins) / len(told)
    numbers = {"ece": error, "brier": float(np.mean((told - right) ** 2)), "auroc": _auroc(told, right)}
    rounded = {name: None if value is None else round(value, 4) for name, value in numbers.items()}
    shares = [(count, round(mean, 4), round(share, 4)) for count, mean, share in bins]
    return {"masks": len(told), "right": round(float(right.mean()), 4), **rounded, "bins": shares}


def told_reliability(rows: Sequence[QueryRow]) -> dict[str, object] | None:
    """`reliability` of the qualities that rows hold; None where they hold none: the model was not calibrated."""
    masks = [mask for row in rows for mask in row.judged if mask.quality is not None]
    return reliability([mask.quality for mask in masks], [mask.right for mask in masks]) if masks else None


def summary_line(found: dict[str, object]) -> str:
    """What `reliability` found, in one line."""
    auroc = "-" if found["auroc"] is None else f"{found['auroc']:.3f}"
    return (
        f"quality of {found['masks']} masks, {found['right']:.3f} of them right: calibration error {found['ece']:.3f}, "
        f"Brier score {found['brier']:.3f}, area under ROC {auroc}"
    )


def draw_reliability(found: dict[str, object], path: Path, title: str) -> None:
    """Writes a picture of what `reliability` found: share of right masks over told quality, and how many there were."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts, told, right = (np.array(column) for column in zip(*found["bins"], strict=True))
    error = 1.96 * np.sqrt(np.maximum(right * (1 - right), 0.25 / counts) / counts)
    figure = Figure(figsize=(5.5, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), color="0.6", linestyle="--", label="perfectly calibrated")
    above.errorbar(told, right, yerr=error, marker="o", capsize=3, label="10 bins, 95% intervals")
    above.set(ylabel="share of right masks", xlim=(0, 1), ylim=(0, 1.02), title=title)
    above.legend(loc="upper left")
    below.bar(told, counts, width=0.06)
    below.set(xlabel="quality", ylabel="masks")
    figure.savefig(path, dpi=110)


def _fit(masks: Sequence[JudgedMask]) -> tuple[float, list[float]]:
    """Bias and weights of a logistic regression by Newton's method, for predictors as they are."""
    raw = np.array([predictors(mask.mean_probability, mask.features) for mask in masks])
    right = np.array([mask.right for mask in masks], np.float64)
    mean, spread = raw.mean(axis=0), raw.std(axis=0) + 1e-9
    x = np.column_stack([(raw - mean) / spread, np.ones(len(raw))])
    penalty = _PENALTY * np.diag([1.0] * raw.shape[1] + [0.0])
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        told = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (told - right) + penalty @ weights
        step = np.linalg.solve((x * (told * (1 - told))[:, None]).T @ x + penalty, slope)
        weights -= step
        if np.abs(step).max() < _SMALL_STEP:
            break
    scaled = weights[:-1] / spread
    return float(weights[-1] - scaled @ mean), [float(weight) for weight in scaled]


def _auroc(told: np.ndarray, right: np.ndarray) -> float | None:
    """Mann and Whitney's statistic, with half a point for ties."""
    good, bad = np.sort(told[right == 1]), np.sort(told[right == 0])
    if not (len(good) and len(bad)):
        return None
    below, upto = np.searchsorted(bad, good, "left"), np.searchsorted(bad, good, "right")
    return float((below + upto).sum() / 2 / (len(good) * len(bad)))
