"""Recorded scans with their truth: what every way to ask about them shares. No ROS is needed here."""
