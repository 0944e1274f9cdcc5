"""What the perception node takes and says, for viewers of other projects."""
