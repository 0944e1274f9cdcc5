"""torch's threads on the CPU: how many there are, and that they sleep while they wait for one another.

A query of a small model is about a thousand short parallel regions, and in each of them the threads wait for the
slowest one. OpenMP's threads spin while they wait; beside busy processes the one that is waited for has no core, and
those that spin hold on to theirs.
"""

import os
import sys
import warnings

from lisa_ros.errors import ConfigurationError

WAIT_POLICY = "OMP_WAIT_POLICY"  # OpenMP reads it once, when its library is loaded, as torch does it
MOST = 256

_too_late = False  # whether torch was there before the policy could be set
_before: int | None = None  # torch's number of threads before `set_threads` changed it


def environment() -> dict[str, str]:
    """Variables for a process that will run a model; none where they are set already, for the user's own win."""
    return {} if WAIT_POLICY in os.environ else {WAIT_POLICY: "PASSIVE"}


def wait_passively() -> None:
    """Sets the policy for this process and its children, before torch is loaded; `check_wait_policy` says if not."""
    global _too_late
    wanted = environment()
    _too_late = _too_late or (bool(wanted) and "torch" in sys.modules)
    os.environ.update(wanted)


def set_threads(count: int) -> None:
    """Sets how many threads torch takes for one operation on the CPU.

    Holds for the calling thread, and for those of this process that begin to compute later.

    Args:
        count: 0 for torch's own choice, which is OMP_NUM_THREADS, or else one for each core that the process may use.

    Raises:
        ConfigurationError: If the count is not a whole number from 0 to 256.
    """
    global _before
    if not isinstance(count, int) or not 0 <= count <= MOST:
        raise ConfigurationError(f"threads={count!r} must be a whole number from 0 (torch's own choice) to {MOST}")
    import torch

    if count:
        _before = _before or torch.get_num_threads()
        torch.set_num_threads(count)
    elif _before:
        torch.set_num_threads(_before)
        _before = None


def check_wait_policy() -> None:
    """Warns where torch was loaded before the policy was set, and has more than one thread that could spin."""
    import torch

    if _too_late and torch.get_num_threads() > 1:
        warnings.warn(
            "torch was imported before lisa_ros, so its threads spin while they wait: beside busy processes queries "
            f"take several times as long. Import lisa_ros.inference first, or start with {WAIT_POLICY}=PASSIVE, or "
            "give threads=1.",
            RuntimeWarning,
            stacklevel=3,
        )
