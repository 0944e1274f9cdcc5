"""The network of a run: base checkpoint, adapters, losses, and the identity that a checkpoint keeps of them."""
