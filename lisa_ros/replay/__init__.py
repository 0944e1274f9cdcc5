"""Replays a recording to the real node over real topics, and scores what comes back."""
