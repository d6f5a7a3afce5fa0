"""Training runs of sparse models with PyTorch: a configuration goes in, one record per run comes out."""
