"""What a goal or a submitted query sets for itself, in place of the node's parameters."""

import difflib
from collections.abc import Sequence
from dataclasses import fields, replace

from rcl_interfaces.msg import Parameter as ParameterMessage
from rclpy.parameter import parameter_value_to_python

from lisa_ros.errors import ConfigurationError, LisaError
from lisa_ros.geometry import CloudOptions
from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.perception.parameters import CLOUD_PREFIX, PerceptionParameters
from lisa_ros.nodes.perception.queries.query import Query
from lisa_ros.nodes.perception.queries.region import Region


def apply_options(query: Query, request):
    """Gives a new query what a Segment.Goal or SubmitQuery.Request asks for beside words.

    Where that does not fit, `query.invalid` says why.
    """
    query.conversation_id = request.conversation_id
    query.image_stamp = request.image_stamp.sec * SECOND + request.image_stamp.nanosec
    try:
        query.parameters = query_parameters(query.parameters, request)
        query.region = Region.from_message(request.region)
    except LisaError as error:
        query.invalid = str(error)
    if request.conversation_id and request.mode == "mask":
        query.invalid = (
            "mode='mask' gives no words, of which a conversation is made; leave mode or conversation_id empty"
        )


def query_parameters(parameters: PerceptionParameters, request) -> PerceptionParameters:
    """The node's parameters with those that a request names. Raises ConfigurationError."""
    changes = {"cloud": _cloud_options(parameters.cloud, request.cloud)}
    if request.mode:
        changes["mode"] = request.mode
    if request.max_new_tokens:
        changes["max_new_tokens"] = request.max_new_tokens
    if request.target_frame not in ("", parameters.target_frame):
        # The parameter camera_pose leads to the parameter target_frame and to no other one.
        changes |= {"target_frame": request.target_frame, "camera_pose": ()}
    return replace(parameters, **changes)


def _cloud_options(options: CloudOptions, parameters: Sequence[ParameterMessage]) -> CloudOptions:
    known = [option.name for option in fields(CloudOptions)]
    values = {}
    for parameter in parameters:
        name = parameter.name.removeprefix(CLOUD_PREFIX)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            raise ConfigurationError(f"there is no parameter {CLOUD_PREFIX}{name}{hint}")
        if name in values:
            raise ConfigurationError(f"{CLOUD_PREFIX}{name} is given twice")
        values[name] = parameter_value_to_python(parameter.value)
    return replace(options, **values)
