"""The live camera."""

from viser import GuiApi

from lisa_ros.console.markup import AMBER, GREEN, aside, badge, block, muted, note
from lisa_ros.console.pictures import fitted, stale
from lisa_ros.console.state import ConsoleView
from lisa_ros.console.widgets import ImageElement, TextElement


class CameraPanel:
    """The newest image; below it its topic and rate, or why it is not live."""

    def __init__(self, gui: GuiApi):
        """Adds its elements where the caller stands."""
        self._picture = ImageElement(gui)
        self._text = TextElement(gui)

    def draw(self, view: ConsoleView):
        """Shows the view."""
        camera = view.camera
        self._picture.show(camera.image, stale if camera.problem else fitted)
        if camera.problem:
            self._text.show(block(badge("not live", AMBER), note(camera.problem, AMBER), muted(camera.topic)))
        elif camera.image is None:
            self._text.show(block(muted(f"waiting for images on {camera.topic}")))
        else:
            height, width = camera.image.shape[:2]
            facts = f"{width}x{height}, {camera.rate:.0f} Hz, {camera.topic}"
            self._text.show(block(badge("live", GREEN), aside(facts)))
