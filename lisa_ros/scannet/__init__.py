"""ScanNet's files: `.sens` streams, annotations, queries, conversion to bags. No torch, no rclpy."""
