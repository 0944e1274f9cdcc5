"""Stand-ins for a robot's camera: a simulated one, and recordings that are played on real topics."""
