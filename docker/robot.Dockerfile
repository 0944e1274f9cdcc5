# The perception node on a ROS 2 install: Humble, Jazzy, Kilted or Lyrical; x86_64 or aarch64; with or without an NVIDIA GPU.
#   docker build -f docker/robot.Dockerfile --build-arg ROS_DISTRO=jazzy -t lisa_ros:jazzy .
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libgl1 libgomp1 libusb-1.0-0 libx11-6 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# The pinned torch and its companions, in an environment that sees ROS' own Python packages. EXTRAS: quantization, ...
ARG EXTRAS=""
ENV PIP_NO_CACHE_DIR=1
WORKDIR /ws
COPY requirements src/lisa_ros/requirements
RUN python3 -m venv --system-site-packages .venv && touch .venv/COLCON_IGNORE \
    && set -- && for name in runtime ros-install ${EXTRAS}; do set -- "$@" -r "src/lisa_ros/requirements/${name}.txt"; done \
    && .venv/bin/pip install "$@"

# The rest by apt; in the active environment rosdep finds what pip has installed.
COPY package.xml src/lisa_ros/package.xml
RUN . .venv/bin/activate && apt-get update && rosdep update --rosdistro "${ROS_DISTRO}" \
    && rosdep install --from-paths src --ignore-src -y -t buildtool -t build -t build_export -t exec \
    && rm -rf /var/lib/apt/lists/*

COPY . src/lisa_ros
RUN . "/opt/ros/${ROS_DISTRO}/setup.bash" && . .venv/bin/activate \
    && colcon build --packages-select lisa_ros --cmake-args -DBUILD_TESTING=OFF \
    && . install/setup.bash && python3 -c 'from lisa_ros.geometry.warming import warm_up; warm_up()' \
    && rm -rf build log

COPY docker/entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "lisa_ros", "perception.launch.py"]
