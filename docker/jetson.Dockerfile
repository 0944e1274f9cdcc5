# The perception node on a Jetson with JetPack 6 (Orin): Ubuntu 22.04, Python 3.10, CUDA 12.6, ROS 2 Humble.
#   docker build -f docker/jetson.Dockerfile --build-arg TORCH_INDEX=URL -t lisa_ros:jetson .
# TORCH_INDEX: an index with torch and torchvision for this JetPack; PyPI's are built for other CUDA releases. JetPack 7 has
# CUDA 13, for which PyPI's aarch64 wheels are built: try robot.Dockerfile there. Neither was tried on a Jetson.
ARG L4T_IMAGE=nvcr.io/nvidia/l4t-jetpack:r36.4.0
FROM ${L4T_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV ROS_DISTRO=humble LANG=C.UTF-8
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl \
    && curl -fsSL https://raw.githubusercontent.com/ros/rosdistro/master/ros.key -o /usr/share/keyrings/ros-archive-keyring.gpg \
    && echo "deb [signed-by=/usr/share/keyrings/ros-archive-keyring.gpg] http://packages.ros.org/ros2/ubuntu jammy main" \
        >/etc/apt/sources.list.d/ros2.list \
    && apt-get update \
    && apt-get install -y --no-install-recommends build-essential libegl1 libgl1 libgomp1 libusb-1.0-0 libx11-6 \
        python3-colcon-common-extensions python3-dev python3-rosdep python3-venv ros-humble-ros-base \
    && rosdep init && rm -rf /var/lib/apt/lists/*

ARG TORCH_INDEX
ENV PIP_NO_CACHE_DIR=1
WORKDIR /ws
COPY requirements src/lisa_ros/requirements
RUN python3 -m venv --system-site-packages .venv && touch .venv/COLCON_IGNORE \
    && .venv/bin/pip install --index-url "${TORCH_INDEX:?name an index with torch for this JetPack}" torch torchvision \
    && grep -vE '^torch(vision)?==' src/lisa_ros/requirements/runtime.txt >/tmp/runtime.txt \
    && .venv/bin/pip install -r /tmp/runtime.txt -r src/lisa_ros/requirements/ros-install.txt

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
CMD ["ros2", "launch", "lisa_ros", "perception.launch.py", "params_file:=rtx3090_lisa7b", "precision:=int4"]
