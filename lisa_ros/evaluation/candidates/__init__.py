"""Scores of systems that choose among candidate masks: which they chose, and how far the best choice would go."""
