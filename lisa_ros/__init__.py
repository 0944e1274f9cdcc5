"""Language-instructed segmentation for robots. Importing this package loads neither torch nor rclpy."""

from pkgutil import extend_path

# lisa_ros.msg and lisa_ros.action are generated and may lie in another directory (install space, site-packages)
# than this source tree.
__path__ = extend_path(__path__, __name__)
