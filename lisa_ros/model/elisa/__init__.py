"""ELISA: each candidate mask of an image is a word that the language model can say about it."""
