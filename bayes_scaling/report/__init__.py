"""The self-contained page that a colleague opens: the answer, an explorer of the posterior, and what both rest on."""
