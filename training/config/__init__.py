"""The YAML of a training run as typed configuration classes."""
