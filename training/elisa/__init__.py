"""Training of ELISA: the recipe `elisa`."""
