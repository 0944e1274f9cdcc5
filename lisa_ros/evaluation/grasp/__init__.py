"""Closed loop in physics: a gripper takes what the words mean, by the grasp that the cloud proposes (extra `grasp`)."""
