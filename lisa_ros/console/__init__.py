"""The web console's page, without ROS: what it shows (`state.py`), how it shows it, and who may open it.

`lisa_ros/nodes/console` fills the state from topics and does what the page asks for. Needs viser, the extra `console`.
"""

from importlib.util import find_spec

from lisa_ros.errors import ConfigurationError


def check_installed():
    """Raises ConfigurationError, with the remedy, where viser is not installed."""
    if find_spec("viser") is None:
        raise ConfigurationError(
            "the console needs viser: pip install 'lisa_ros[console]', or pip install -r requirements/console.txt"
        )
