"""Real training data, one kind of source per file."""
