"""What training reads: items drawn from the data sets, rendered as conversations."""
