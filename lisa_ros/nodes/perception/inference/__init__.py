"""The loaded engine, the thread that it runs in, and one query's way through it."""
