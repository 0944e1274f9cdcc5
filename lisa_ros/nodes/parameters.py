"""The node's settings as ROS parameters."""

import difflib

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node

from lisa_ros.errors import ConfigurationError
from lisa_ros.nodes.settings import Setting, Settings, all_settings


class Parameters:
    """Declares all settings on a node and refuses updates that `Settings` refuses.

    loaded: says whether weights are loaded, when those settings that take effect at configure must stay as they are.
    Raises ConfigurationError where the values given at start are no good.
    """

    def __init__(self, node: Node, loaded):
        self._node = node
        self._loaded = loaded
        self._current: Settings | None = None
        self._settings = {setting.name: setting for setting in all_settings()}
        for setting in self._settings.values():
            node.declare_parameter(setting.name, setting.default, _descriptor(setting))
        self.current()
        self._tell_unknown()
        node.add_on_set_parameters_callback(self._on_set)

    def current(self) -> Settings:
        """The values of this moment."""
        if self._current is None:
            self._current = Settings.from_values(self._values())
        return self._current

    def _tell_unknown(self):
        # rclpy says nothing about values for parameters that nobody declares, and a typo would pass for the default.
        for name in sorted(getattr(self._node, "_parameter_overrides", {})):
            if not self._node.has_parameter(name):
                near = difflib.get_close_matches(name, self._settings, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self._node.get_logger().warning(f"there is no parameter {name!r}: its value is ignored{hint}")

    def _values(self) -> dict:
        return {name: self._node.get_parameter(name).value for name in self._settings}

    def _on_set(self, parameters) -> SetParametersResult:
        self._current = None  # the new values hold only after this callback
        changes = {parameter.name: parameter.value for parameter in parameters if parameter.name in self._settings}
        values = self._values()
        for name, value in changes.items():
            if self._settings[name].at_configure and value != values[name] and self._loaded():
                reason = f"{name} takes effect when weights are loaded; clean the node up first"
                return SetParametersResult(successful=False, reason=reason)
        try:
            Settings.from_values({**values, **changes})
        except ConfigurationError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def _descriptor(setting: Setting) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(name=setting.name, description=setting.about, read_only=setting.fixed)
    # An empty array has no type, and whole numbers make one of integers.
    descriptor.dynamic_typing = isinstance(setting.default, tuple)
    if setting.choices:
        descriptor.additional_constraints = f"one of: {', '.join(setting.choices)}"
    if isinstance(setting.low, int):
        descriptor.integer_range = [IntegerRange(from_value=setting.low, to_value=setting.high)]
    elif isinstance(setting.low, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=setting.low, to_value=setting.high)]
    return descriptor
