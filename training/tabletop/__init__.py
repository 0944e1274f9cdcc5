"""The packaged model: a small LISA for the procedural tabletop world, trained from scratch in stages."""
