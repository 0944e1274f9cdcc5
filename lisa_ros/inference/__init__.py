"""The engine: an image is encoded once and asked many times."""
