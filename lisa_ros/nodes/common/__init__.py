"""What several nodes share: message conversions, stamps, logging, and a node's life in its process."""
