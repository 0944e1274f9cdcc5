"""`lisa-ros demo`: the real graph asked about simulated scenes with known truth, and a report of what came back."""
