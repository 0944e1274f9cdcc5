"""Styles compared: the small model of the tabletop world learns each of them with equal data, size and budget."""
