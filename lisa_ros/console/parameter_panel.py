"""The parameters that may change at any time."""

from typing import TYPE_CHECKING

from viser import GuiApi, Icon

from lisa_ros.console.markup import block, muted, table
from lisa_ros.console.state import ConsoleView, ParameterView
from lisa_ros.console.widgets import TextElement

if TYPE_CHECKING:
    from lisa_ros.console.page import ConsoleRequests

_NONE = "—"


class ParameterPanel:
    """One is chosen, explained and set; below it the values of all."""

    def __init__(self, gui: GuiApi, requests: "ConsoleRequests"):
        """Adds its elements where the caller stands."""
        self._requests = requests
        self._parameters: tuple[ParameterView, ...] = ()
        self._shown: ParameterView | None = None
        with gui.add_form(None) as form:
            self._name = gui.add_dropdown("Parameter", (_NONE,))
            self._value = gui.add_text("Value", "", hint="Enter sets it")
        form.on_submit(lambda _: self._set())
        self._button = gui.add_button("Set", icon=Icon.CHECK, disabled=True)
        self._button.on_click(lambda _: form.submit())
        self._about = TextElement(gui)
        self._table = TextElement(gui)

    def draw(self, view: ConsoleView):
        """Shows the view."""
        if view.parameters is not self._parameters:
            self._update(view.parameters)
        chosen = next((one for one in self._parameters if one.name == self._name.value), None)
        if chosen is not self._shown and (chosen is None or self._shown is None or chosen != self._shown):
            before, self._shown = self._shown, chosen
            is_same = before is not None and chosen is not None and before.name == chosen.name
            if not (is_same and self._value.value != before.value):  # somebody is typing
                self._value.value = chosen.value if chosen else ""
            self._about.show(_about(chosen) if chosen else "")

    def _update(self, parameters: tuple[ParameterView, ...]):
        names = tuple(one.name for one in parameters) or (_NONE,)
        if names != self._name.options:
            self._name.options = names
        self._button.disabled = not parameters
        self._parameters = parameters
        values = table(((one.name, one.value) for one in parameters), "62%")
        self._table.show(block(values if parameters else muted("The node's parameters are not known.")))

    def _set(self):
        if self._name.value != _NONE:
            self._requests.set_parameter(self._name.value, self._value.value)


def _about(parameter: ParameterView) -> str:
    return block(muted(parameter.about), muted(parameter.limits) if parameter.limits else "")
