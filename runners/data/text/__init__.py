"""Text corpora: sources of documents, cleaned of duplicates, split, and turned into tokens."""
