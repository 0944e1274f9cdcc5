"""RGB-D recordings as rosbag2 bags: writing, reading frame by frame, playing. No ROS install needed."""
