"""Typed errors of the training code."""


class TrainingError(RuntimeError):
    """Training cannot continue (a loss that is not finite, a checkpoint that does not fit); saved files stay valid."""


class BadItemError(TrainingError):
    """An item of a data set cannot be used; the message names it. It is skipped and counted."""
