"""ROS messages of one result, and the publishers that keep them for late subscribers."""
