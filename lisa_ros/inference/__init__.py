"""The engine: an image is encoded once and asked many times."""

from lisa_ros.cpu_threads import wait_passively

wait_passively()  # before a module of this package loads torch
