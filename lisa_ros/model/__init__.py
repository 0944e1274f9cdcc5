"""The network: its parts, its checkpoints, and the styles of prompts and answers."""
