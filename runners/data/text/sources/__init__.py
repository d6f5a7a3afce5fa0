"""Kinds of text sources, one per file: each has its `KIND` and `open_source(where, suffix=, column=)`."""
