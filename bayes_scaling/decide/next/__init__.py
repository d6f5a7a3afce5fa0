"""Which run to pay for next: what candidates tell of a target, and what they cost."""
