"""Readers of the data sets that segmentation systems are trained and evaluated on."""
