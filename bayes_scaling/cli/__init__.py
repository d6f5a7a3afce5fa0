"""The command line, thin over the public names; importing a module of commands registers them."""

from bayes_scaling.cli import (
    curves,
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
