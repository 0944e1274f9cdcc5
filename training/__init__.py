"""Training of LISA models; run from a checkout with `python -m training`, not installed on the robot."""
