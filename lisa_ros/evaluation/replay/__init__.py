"""Evaluation on recordings: the real node asked over real topics, beside the same core asked offline."""
