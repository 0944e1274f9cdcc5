"""Boxes, widths and points of `lisa_ros.geometry` against the simulator's truth, beside a plain recipe."""
