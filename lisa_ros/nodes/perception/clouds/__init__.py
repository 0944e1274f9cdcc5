"""Point clouds and boxes of the targets of one result, computed in a process of their own."""
