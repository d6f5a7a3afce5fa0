"""Sparsity in four parts that combine: when (`schedules`), where (`structures`), how much in each tensor
(`distributions`) and which weights (`methods`); `masks` and `sparsifier` apply them.
"""
