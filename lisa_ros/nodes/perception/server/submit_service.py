"""The service `submit`: a query as from the topic, under an id that its client chooses."""

from dataclasses import replace

from rclpy.node import Node
from rclpy.qos import QoSProfile

from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.queries.query import TOPIC, Query
from lisa_ros.nodes.perception.queries.query_options import apply_options
from lisa_ros.nodes.perception.server.query_server import QueryServer
from lisa_ros.srv import SubmitQuery

_QOS = QoSProfile(depth=500)  # the default keeps 10 requests; of a burst, all before those would get no response
_LONGEST_ID = 128


class SubmitService:
    """The response says at once whether the query is accepted."""

    def __init__(self, node: Node, query_server: QueryServer):
        self._query_server = query_server
        self._log = ThrottledLog(lambda text: node.get_logger().info(text))
        node.create_service(SubmitQuery, "submit", self._on_request, qos_profile=_QOS)

    def _on_request(self, request: SubmitQuery.Request, response: SubmitQuery.Response) -> SubmitQuery.Response:
        asked = apply_options(self._query_server.new_request(request.query, TOPIC, request.with_cloud), request)
        if request.query_id:
            invalid = asked.invalid or _id_problem(request.query_id)
            asked = replace(asked, query_id=request.query_id, invalid=invalid)
        response.message = self._query_server.try_submit(Query(asked))
        response.accepted = not response.message
        response.query_id = request.query_id or (asked.query_id if response.accepted else "")
        if not response.accepted:
            self._log("rejected", f"rejected a submitted query: {response.message}")
        return response


def _id_problem(query_id: str) -> str:
    if len(query_id) > _LONGEST_ID:
        return f"query_id has {len(query_id)} characters, the limit is {_LONGEST_ID}"
    return "" if query_id.isprintable() else f"query_id {query_id!r} holds characters that cannot be printed"
