"""Typed errors of the training code."""


class TrainingError(RuntimeError):
    """Training cannot go on (a loss that is not finite, a checkpoint that does not fit); nothing saved is lost."""


class BadItemError(TrainingError):
    """An item of a data set cannot be learnt from; the message names it. It is left out and counted."""
