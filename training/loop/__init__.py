"""The training loop: trainer, optimizer, devices, validation, and the files of a run."""
