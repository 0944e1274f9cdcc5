"""The options of a query to a goal of the action `segment`. No rclpy node; values are checked here, once."""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real

from builtin_interfaces.msg import Time
from rclpy.parameter import Parameter
from sensor_msgs.msg import RegionOfInterest

from lisa_ros.action import Segment
from lisa_ros.client.conversion import SECOND
from lisa_ros.errors import ConfigurationError

_LONGEST = 86_400.0  # s
_UINT32 = 2**32 - 1
_INT32 = 2**31 - 1
_MODES = ("", "chat", "mask")


def make_goal(
    query: str = "",
    *,
    phrases: Sequence[str] = (),
    image_stamp: Time | int = 0,
    conversation_id: str = "",
    with_cloud: bool = True,
    mode: str = "",
    max_new_tokens: int = 0,
    target_frame: str = "",
    region: RegionOfInterest | Iterable[int] | None = None,
    cloud: Mapping[str, object] | None = None,
) -> Segment.Goal:
    """The goal of a query; `PerceptionClient.ask_async` says what the options mean.

    Raises:
        ConfigurationError: A value has the wrong type or does not fit its field. What the values mean to the node is
            checked by the node, whose result is REJECTED then.
    """
    if mode not in _MODES:
        raise ConfigurationError(f"mode is {mode!r}; it must be 'chat', 'mask' or '' (the node's parameter)")
    goal = Segment.Goal(
        query=_text("query", query),
        phrases=_phrases(phrases),
        image_stamp=_time(image_stamp),
        conversation_id=_text("conversation_id", conversation_id),
        with_cloud=bool(with_cloud),
        mode=mode,
        max_new_tokens=_count("max_new_tokens", max_new_tokens),
        target_frame=_text("target_frame", target_frame),
        cloud=[_parameter(name, value) for name, value in (cloud or {}).items()],
    )
    if region is not None:
        goal.region = _region(region)
    return goal


def check_timeout(name: str, value: float) -> float:
    """The value as a float. Raises ConfigurationError unless it is a number of seconds above 0 and at most a day."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value <= _LONGEST:  # NaN is not, either
        raise ConfigurationError(f"{name} is {value!r}; it must be a number of seconds above 0, at most {_LONGEST:g}")
    return float(value)


def _text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is {value!r}; it must be a string")
    return value


def _phrases(phrases: Sequence[str]) -> list[str]:
    if isinstance(phrases, str) or not isinstance(phrases, Sequence):
        raise ConfigurationError(f"phrases is {phrases!r}; it must be a sequence of strings, one for each thing")
    return [_text(f"phrase {number} of {len(phrases)}", phrase) for number, phrase in enumerate(phrases, start=1)]


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= value <= _UINT32:
        raise ConfigurationError(f"{name} is {value!r}; it must be a whole number from 0 to {_UINT32}")
    return int(value)


def _time(stamp: Time | int) -> Time:
    if isinstance(stamp, Time):
        return stamp
    if isinstance(stamp, bool) or not isinstance(stamp, Integral) or not 0 <= stamp <= _INT32 * SECOND:
        raise ConfigurationError(
            f"image_stamp is {stamp!r}; it must be the `header.stamp` of an image, or ns from 0 to {_INT32 * SECOND}"
        )
    return Time(sec=int(stamp // SECOND), nanosec=int(stamp % SECOND))


def _region(region: RegionOfInterest | Iterable[int]) -> RegionOfInterest:
    if isinstance(region, RegionOfInterest):
        return region
    names = ("x_offset", "y_offset", "width", "height")
    if isinstance(region, str) or not isinstance(region, Iterable) or len(numbers := tuple(region)) != len(names):
        raise ConfigurationError(f"region is {region!r}; it must be (x, y, width, height) in pixels")
    values = {name: _count(f"region's {name}", value) for name, value in zip(names, numbers, strict=True)}
    if not (values["width"] and values["height"]):
        raise ConfigurationError(f"region is {numbers}; width and height must be 1 at least, or leave region out")
    return RegionOfInterest(**values)


def _parameter(name: str, value):
    try:
        return Parameter(_text("a name in cloud", name), value=value).to_parameter_msg()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"cloud[{name!r}] is {value!r}, which no parameter of ROS can hold") from error
