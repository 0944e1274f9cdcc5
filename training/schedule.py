"""The learning rate of LISA's training: linear warm-up, then linear decay to zero (DeepSpeed's WarmupDecayLR)."""


def learning_rate_factor(update: int, warmup_steps: int, steps: int) -> float:
    """Share of the peak learning rate that optimiser update number `update` (from 0) uses.

    DeepSpeed moves its schedule after the optimiser, so the first two updates both stand at the schedule's beginning.
    """
    position = max(0, update - 1)
    if position < warmup_steps:
        return position / warmup_steps
    return max(0.0, (steps - position) / max(1, steps - warmup_steps))
