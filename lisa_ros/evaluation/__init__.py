"""Scores of segmentation by language: metrics, and the runs that collect them."""
