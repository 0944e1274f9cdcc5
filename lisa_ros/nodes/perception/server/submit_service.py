"""The service `submit`: a query as from the topic, under an id that its sender knows."""

from collections.abc import Callable

from rclpy.node import Node
from rclpy.qos import QoSProfile

from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.queries.query import TOPIC, Query
from lisa_ros.nodes.perception.queries.query_options import apply_options
from lisa_ros.nodes.perception.server.query_server import QueryServer
from lisa_ros.srv import SubmitQuery

_QOS = QoSProfile(depth=500)  # the default keeps 10 requests; of a burst, all before would get no answer at all
_LONGEST_ID = 128


class SubmitService:
    """Who submits is told at once whether the query is accepted. prepare(query) is called before that is decided."""

    def __init__(self, node: Node, server: QueryServer, prepare: Callable[[Query], None]):
        self._query_server, self._prepare = server, prepare
        self._log = ThrottledLog(lambda text: node.get_logger().info(text))
        node.create_service(SubmitQuery, "submit", self._on_request, qos_profile=_QOS)

    def _on_request(self, request: SubmitQuery.Request, response: SubmitQuery.Response) -> SubmitQuery.Response:
        query = self._query_server.new_query(request.query, TOPIC, request.with_cloud)
        apply_options(query, request)
        if request.query_id:
            query.query_id = request.query_id
            query.invalid = query.invalid or _why_no_id(request.query_id)
        self._prepare(query)
        response.message = self._query_server.try_submit(query)
        response.accepted = not response.message
        response.query_id = request.query_id or (query.query_id if response.accepted else "")
        if not response.accepted:
            self._log("refused", f"refused to take a submitted query: {response.message}")
        return response


def _why_no_id(query_id: str) -> str:
    if len(query_id) > _LONGEST_ID:
        return f"query_id has {len(query_id)} characters, the limit is {_LONGEST_ID}"
    return "" if query_id.isprintable() else f"query_id {query_id!r} holds characters that cannot be printed"
