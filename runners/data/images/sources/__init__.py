"""Kinds of image sources, one per file.

Each has its `KIND`; `TASK`, the task that suits it; and `open_source(where, column=, labelled=)`.
"""
