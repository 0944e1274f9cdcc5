"""The perception node's parameters that may change at any time, read and set by its services."""

import time
from collections.abc import Callable

from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python

from lisa_ros.console.state import ParameterView
from lisa_ros.errors import ConfigurationError
from lisa_ros.nodes.perception.parameters import ParameterDefinition, parameter_definitions

_PERIOD = 2.0  # s between two looks; others may set them too
_PATIENCE = 5.0  # s for an answer


class RemoteParameters:
    """Runs in the executor's thread.

    Attributes:
        values: name -> value of all that were read; empty while the node is not there.
        views: The same for people.
    """

    def __init__(self, node: Node, name: str, notify: Callable[[str, bool], None]):
        """Creates the service clients.

        Args:
            node: The console's node.
            name: Full name of the perception node.
            notify: Called with what setting a parameter came to, and whether that is an error.
        """
        self._name, self._notify = name, notify
        self._definitions = {one.name: one for one in parameter_definitions() if not (one.fixed or one.at_configure)}
        self._getter = node.create_client(GetParameters, f"{name}/get_parameters")
        self._setter = node.create_client(SetParameters, f"{name}/set_parameters")
        self._asked, self._request = 0.0, None
        self.values: dict[str, object] = {}
        self.views: tuple[ParameterView, ...] = ()

    def update(self, is_there: bool):
        """To be called again and again. is_there: whether the node is."""
        if not is_there:
            self.values, self.views = {}, ()
            return
        now = time.monotonic()
        if self._request is not None and now - self._asked > _PATIENCE:  # the node that was asked has gone
            self._getter.remove_pending_request(self._request)
            self._request = None
        if self._request is None and now - self._asked > _PERIOD and self._getter.service_is_ready():
            self._asked = now
            self._request = self._getter.call_async(GetParameters.Request(names=list(self._definitions)))
            self._request.add_done_callback(self._on_values)

    def parse(self, name: str, text: str) -> object:
        """A value as it was typed.

        Raises:
            ConfigurationError: It is not of the parameter's type.
        """
        definition = self._definitions.get(name)
        if definition is None:
            raise ConfigurationError(f"{name!r} is no parameter that may change at any time")
        return _parse(definition, text.strip())

    def set(self, name: str, value: object):
        """Sets one; the outcome is notified."""
        if not self._setter.service_is_ready():
            self._notify(f"{name} was not set: {self._name} is not there", True)
            return
        message = Parameter(name, value=value).to_parameter_msg()
        future = self._setter.call_async(SetParameters.Request(parameters=[message]))
        future.add_done_callback(lambda done: self._on_set(name, value, done))

    def _on_values(self, future):
        if future is not self._request:
            return
        self._request = None
        found = {}
        for name, value in zip(self._definitions, future.result().values, strict=False):
            if value.type != Parameter.Type.NOT_SET.value:  # a node of another version may not have it
                found[name] = parameter_value_to_python(value)
        if found != self.values:
            self.values = found
            self.views = tuple(_view(self._definitions[name], value) for name, value in found.items())

    def _on_set(self, name: str, value: object, future):
        answer = future.result().results[0]
        self._asked = 0.0  # look at once
        if answer.successful:
            self._notify(f"{name} is {format_value(value) or 'empty'} now", False)
        else:
            self._notify(f"{name} was not set: {answer.reason}", True)


def format_value(value: object) -> str:
    """A parameter's value as it is shown and typed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    if hasattr(value, "__iter__"):
        return " ".join(format_value(one) for one in value)
    return str(value)


def _parse(definition: ParameterDefinition, text: str) -> object:
    kind, name = type(definition.default), definition.name
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return [float(word) for word in text.replace(",", " ").split()]
        return kind(text)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number", tuple: "numbers with blanks between"}
        raise ConfigurationError(f"{name} is {text!r}; it must be {wanted[kind]}") from None


def _view(definition: ParameterDefinition, value: object) -> ParameterView:
    limits = ""
    if definition.choices:
        limits = f"one of {', '.join(definition.choices)}"
    elif isinstance(definition.default, bool):
        limits = "true or false"
    elif definition.low is not None:
        limits = f"{definition.low:g} to {definition.high:g}"
    return ParameterView(definition.name, format_value(value), f"{definition.about}.", limits)
