"""Camera messages: subscriptions, the buffer that binds depth and calibration to images, and transforms."""
