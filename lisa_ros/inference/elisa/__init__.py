"""ELISA's engine: answers that choose among candidate masks."""
