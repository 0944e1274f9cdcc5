"""ROS 2 nodes: wiring only. The one place of the package that imports rclpy."""
