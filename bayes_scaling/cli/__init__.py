"""The command line, thin over the public names; importing a module of commands registers them."""

from bayes_scaling.cli import (
    curves,
    finetuning,
    importing,
    planning,
    posteriors,
    reporting,
    studies,
    sweeping,
    thresholds,
    training,
    validation,
)
from bayes_scaling.cli.app import app, main

__all__ = [
    "app",
    "curves",
    "finetuning",
    "importing",
    "main",
    "planning",
    "posteriors",
    "reporting",
    "studies",
    "sweeping",
    "thresholds",
    "training",
    "validation",
]
