"""The topic `query` and the services `submit`, `cancel` and `forget`; the action is in segment_action.py."""

from dataclasses import replace

from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from lisa_ros.nodes.common.throttled_log import ThrottledLog
from lisa_ros.nodes.perception.frames.publisher_checks import QosMonitor
from lisa_ros.nodes.perception.parameter_listener import ParameterListener
from lisa_ros.nodes.perception.queries.query import TOPIC, Query
from lisa_ros.nodes.perception.queries.query_options import apply_options
from lisa_ros.nodes.perception.server.query_server import QueryServer
from lisa_ros.srv import SubmitQuery

# The default keeps 10 requests; of a burst, all before those would get no result or response.
_QOS = QoSProfile(depth=500)
_MAX_ID_LENGTH = 128


class QueryInterfaces:
    """Turns messages and requests into queries, and creates the services on the node."""

    def __init__(self, node: Node, query_server: QueryServer, parameters: ParameterListener, qos_monitor: QosMonitor):
        self._query_server, self._parameters = query_server, parameters
        self._log = ThrottledLog(lambda text: node.get_logger().info(text))
        events = qos_monitor.events(node.resolve_topic_name("query"), _QOS)
        node.create_subscription(String, "query", self._on_query, _QOS, event_callbacks=events)
        node.create_service(SubmitQuery, "submit", self._on_submit, qos_profile=_QOS)
        node.create_service(Trigger, "cancel", self._on_cancel)
        node.create_service(Trigger, "forget", self._on_forget)

    def _on_query(self, message: String):
        with_cloud = self._parameters.current().with_cloud
        self._query_server.submit(Query(self._query_server.new_request(message.data, TOPIC, with_cloud)))

    def _on_submit(self, request: SubmitQuery.Request, response: SubmitQuery.Response) -> SubmitQuery.Response:
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

    def _on_cancel(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        count = self._query_server.cancel_all("cancelled by the service")
        response.success, response.message = count > 0, f"{count} queries cancelled"
        return response

    def _on_forget(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        count = self._query_server.forget_conversations()
        response.success, response.message = True, f"{count} conversations forgotten"
        return response


def _id_problem(query_id: str) -> str:
    if len(query_id) > _MAX_ID_LENGTH:
        return f"query_id has {len(query_id)} characters, the limit is {_MAX_ID_LENGTH}"
    return "" if query_id.isprintable() else f"query_id {query_id!r} holds characters that cannot be printed"
