"""Sparsity in three orthogonal parts: when (`schedules`), where (`structures`) and how it is applied (`masks`)."""
