"""The query server, and the action, topic and services in front of it."""
