"""Data sets of pictures and questions: ReasonSeg, the referring sets, the tabletop world."""
