# The driver of a RealSense camera, beside which compose.yaml runs the node.
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base
RUN apt-get update \
    && apt-get install -y --no-install-recommends "ros-${ROS_DISTRO}-realsense2-camera" \
    && rm -rf /var/lib/apt/lists/*
