"""The query server and the action and service in front of it."""
