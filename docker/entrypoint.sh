#!/bin/bash
# Runs a command with ROS, the environment of torch, and the package.
set -e
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /ws/.venv/bin/activate
source /ws/install/setup.bash
exec "$@"
