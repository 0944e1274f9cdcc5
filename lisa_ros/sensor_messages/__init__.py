"""ROS image messages and camera calibrations as arrays and camera models; no rclpy is needed here."""
