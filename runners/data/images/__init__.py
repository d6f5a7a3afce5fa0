"""Image corpora: sources of pictures, cut to one size, split, and turned into examples of a task."""
