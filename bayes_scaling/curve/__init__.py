"""Learning curves: loss over x (steps, tokens, examples) of many runs, fitted in bulk, forecast with intervals.

``fit`` makes a posterior of a table of curves, ``predict`` and ``plot`` say what comes next, ``score`` and ``holdout``
how good that is; ``forms`` are the formulas. See ``docs/curves.md``.
"""

from bayes_scaling.curve import forms
from bayes_scaling.curve.fit import fit
from bayes_scaling.curve.plot import plot
from bayes_scaling.curve.posterior import load
from bayes_scaling.curve.predict import predict
from bayes_scaling.curve.score import holdout, score

__all__ = ["fit", "forms", "holdout", "load", "plot", "predict", "score"]
