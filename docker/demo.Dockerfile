# The demo without ROS and without a GPU: simulated camera, perception node, questions.
#   docker build -f docker/demo.Dockerfile -t lisa_ros:demo .
#   docker run --rm --shm-size=512m -v "$PWD/out:/lisa_ros/out" lisa_ros:demo
FROM debian:bookworm-slim

# What scripts/setup.sh would ask apt for, and make.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates g++ libegl1 libgl1 libgomp1 libusb-1.0-0 libx11-6 make \
        python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

# torch without CUDA, 3 GB in place of 9. TORCH=cuda with an empty TORCH_INDEX takes PyPI's.
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1
WORKDIR /lisa_ros
COPY . .
RUN scripts/setup.sh && chmod -R a+rX .

# As any user: what is written goes to out/, or where the variables of ROS and numba say.
RUN useradd --create-home --uid 1000 robot && install -d -o robot out
USER 1000
ENV PATH=/lisa_ros/.venv/bin:$PATH
CMD ["lisa-ros", "demo", "--out", "out/demo"]
