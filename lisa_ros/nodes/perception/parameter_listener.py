"""The node's parameters as ROS parameters."""

import difflib
from collections.abc import Callable

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node

from lisa_ros.errors import ConfigurationError
from lisa_ros.nodes.perception.parameters import ParameterDefinition, PerceptionParameters, parameter_definitions
from lisa_ros.rclpy_compat import parameter_overrides


class ParameterListener:
    """Declares all parameters on a node and rejects updates that `PerceptionParameters` rejects.

    Args:
        node: The node.
        is_loaded: Whether weights are loaded: then parameters that take effect at configure cannot change.

    Raises:
        ConfigurationError: For bad values at start.
    """

    def __init__(self, node: Node, is_loaded: Callable[[], bool]):
        self._node = node
        self._is_loaded = is_loaded
        self._current: PerceptionParameters | None = None
        self._definitions = {definition.name: definition for definition in parameter_definitions()}
        for definition in self._definitions.values():
            node.declare_parameter(definition.name, definition.default, _descriptor(definition))
        self.current()
        self._warn_of_unknown()
        node.add_on_set_parameters_callback(self._on_set)

    def current(self) -> PerceptionParameters:
        """The values of this moment."""
        if self._current is None:
            self._current = PerceptionParameters.from_values(self._values())
        return self._current

    def _warn_of_unknown(self):
        # rclpy ignores values of parameters that nobody declares, and a typo would leave the default in force.
        for name in parameter_overrides(self._node):
            if not self._node.has_parameter(name):
                near = difflib.get_close_matches(name, self._definitions, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self._node.get_logger().warning(f"there is no parameter {name!r}: its value is ignored{hint}")

    def _values(self) -> dict:
        return {name: self._node.get_parameter(name).value for name in self._definitions}

    def _on_set(self, parameters) -> SetParametersResult:
        self._current = None  # the new values hold only after this callback
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in self._definitions}
        values = self._values()
        for name, value in changes.items():
            if self._definitions[name].at_configure and value != values[name] and self._is_loaded():
                reason = f"{name} takes effect when weights are loaded; clean the node up first"
                return SetParametersResult(successful=False, reason=reason)
        try:
            PerceptionParameters.from_values({**values, **changes})
        except ConfigurationError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def _descriptor(definition: ParameterDefinition) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(name=definition.name, description=definition.about, read_only=definition.fixed)
    # An empty array has no type, and whole numbers make one of integers.
    descriptor.dynamic_typing = isinstance(definition.default, tuple)
    if definition.choices:
        descriptor.additional_constraints = f"one of: {', '.join(definition.choices)}"
    if isinstance(definition.low, int):
        descriptor.integer_range = [IntegerRange(from_value=definition.low, to_value=definition.high)]
    elif isinstance(definition.low, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=definition.low, to_value=definition.high)]
    return descriptor
