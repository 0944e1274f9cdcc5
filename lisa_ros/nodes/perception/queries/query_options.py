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
from lisa_ros.nodes.perception.queries.query import QueryRequest
from lisa_ros.nodes.perception.queries.region import Region


def apply_options(request: QueryRequest, message) -> QueryRequest:
    """The request with the options of a Segment.Goal or SubmitQuery.Request; `invalid` where they cannot be met."""
    changes = {
        "conversation_id": message.conversation_id,
        "image_stamp": message.image_stamp.sec * SECOND + message.image_stamp.nanosec,
    }
    try:
        changes["parameters"] = query_parameters(request.parameters, message)
        changes["region"] = Region.from_message(message.region)
    except LisaError as error:
        changes["invalid"] = str(error)
    if message.conversation_id and message.mode == "mask":
        changes["invalid"] = (
            "mode='mask' gives no text, of which a conversation is made; leave mode or conversation_id empty"
        )
    if message.phrases:
        changes["phrases"] = tuple(message.phrases)
        changes["text"] = message.query or ", ".join(message.phrases)
        changes["invalid"] = changes.get("invalid") or _phrases_problem(message)
    return replace(request, **changes)


def follow_problem(request: QueryRequest) -> str:
    """Why a request cannot be followed; "" where it can."""
    if request.conversation_id:
        return "follow is about every newest image, a conversation about one; leave follow or conversation_id unset"
    if request.image_stamp:
        return "follow is about every newest image; leave follow or image_stamp unset"
    return ""


def query_parameters(parameters: PerceptionParameters, message) -> PerceptionParameters:
    """The node's parameters with those that a message sets for its query. Raises ConfigurationError."""
    changes = {"cloud": _cloud_options(parameters.cloud, message.cloud)}
    if message.mode:
        changes["mode"] = message.mode
    if message.max_new_tokens:
        changes["max_new_tokens"] = message.max_new_tokens
    if message.target_frame not in ("", parameters.target_frame):
        # The parameter camera_pose leads to the parameter target_frame and to no other one.
        changes |= {"target_frame": message.target_frame, "camera_pose": ()}
    return replace(parameters, **changes)


def _phrases_problem(message) -> str:
    """Why the phrases of a message cannot be asked for with its other fields; "" where they can."""
    others = {
        "query": "each phrase is a query of its own",
        "conversation_id": "a conversation is made of text",
        "mode": "the model's style says how it tells whether a phrase is there",
    }
    for name, reason in others.items():
        if value := getattr(message, name):
            return f"{name}={value[:80]!r} does not go with phrases: {reason}; leave one of the two empty"
    return ""


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
