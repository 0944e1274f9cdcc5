"""The error of the training code."""


class TrainingError(RuntimeError):
    """Training cannot go on (a loss that is not finite, a checkpoint that does not fit); nothing saved is lost."""
