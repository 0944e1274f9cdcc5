"""Queries: their options, their order, their conversations, and the frame that each one is about."""
