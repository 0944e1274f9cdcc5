"""Which frame and region each conversation is about. No rclpy; used by one thread."""

from collections import OrderedDict

from lisa_ros.nodes.common.stamps import SECOND
from lisa_ros.nodes.perception.queries.query import Query


class Conversations:
    """The last query of each conversation; beyond the limit the least recently used conversation is dropped."""

    def __init__(self):
        self._last: OrderedDict[str, Query] = OrderedDict()

    def get(self, conversation_id: str) -> Query | None:
        """The last query of a conversation; None for a new one, and for no conversation at all ("")."""
        return self._last.get(conversation_id)

    def mismatch(self, query: Query) -> str:
        """Why a query cannot belong to its conversation: it names another image or region; "" where it can."""
        request, earlier = query.request, self._last.get(query.request.conversation_id)
        if earlier is None:
            return ""
        about = f"conversation {request.conversation_id!r} is about"
        tolerance = request.parameters.sync_tolerance * SECOND
        if request.image_stamp and abs(request.image_stamp - earlier.frame.stamp) > tolerance:
            stamp = f"the image of {earlier.frame.stamp / SECOND:.3f} s"
            return f"{about} {stamp}; ask about another image under another conversation_id"
        if request.region not in (None, earlier.region):
            region = earlier.region or "the whole image"
            return f"{about} {region}; ask about region {request.region} under another conversation_id"
        return ""

    def keep(self, query: Query):
        """Notes that a query of a conversation was bound to its frame."""
        self._last[query.request.conversation_id] = query
        self._last.move_to_end(query.request.conversation_id)
        while len(self._last) > query.request.parameters.max_conversations:
            self._last.popitem(last=False)

    def forget(self, conversation_id: str | None = None) -> int:
        """Forgets one, or all of them; returns how many."""
        if conversation_id is None:
            count = len(self._last)
            self._last.clear()
            return count
        return int(self._last.pop(conversation_id, None) is not None)

    @property
    def ids(self) -> frozenset[str]:
        """Those that are kept."""
        return frozenset(self._last)
