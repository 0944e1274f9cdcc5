"""Systems that choose among proposals compared with one that draws: LLM-Seg, ELISA and plain LISA on equal data."""
