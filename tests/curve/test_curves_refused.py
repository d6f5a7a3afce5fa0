"""Curves that cannot be fitted, each with one sentence."""

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling.curve.table import points_of, read_curves

X = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
LOSS = np.array([4.0, 3.5, 3.2, 3.0, 2.9, 2.85])


def table(x=X, loss=LOSS):
    return pd.DataFrame({"curve": "a", "x": x, "loss": loss})


@pytest.mark.parametrize(
    ("curves", "sentence"),
    [
        (table(X[:4], LOSS[:4]), "curve 'a' has 4 points; a fit takes 5 or more"),
        (
            table(loss=np.full(6, 2.5)),
            "curve 'a' is constant: its loss is 2.5 over the first half of its points and 2.5 over the last; "
            "a learning curve falls as x grows",
        ),
        (
            table(loss=LOSS[::-1]),
            "curve 'a' does not fall: its loss is 2.916 over the first half of its points and 3.552 over the last; "
            "a learning curve falls as x grows",
        ),
        (table(loss=[4, 3, 2, 1, 0.5, 0]), "the DataFrame, row 5: loss is 0.0, where a number above 0 is allowed"),
        (table(x=[-1, 2, 4, 8, 16, 32]), "the DataFrame, row 0: x is -1, where a number above 0 is allowed"),
        (table(x=["soon", 2, 4, 8, 16, 32]), "the DataFrame, row 0: x is 'soon', where a number above 0 is allowed"),
        (table(x=[np.nan, 2, 4, 8, 16, 32]), "curve 'a' has a loss of 4 without an x"),
        (table(x=[1, 2, 4, 4, 16, 32]), "curve 'a' has the x 4 more than once; average its losses, or drop one"),
        (table(loss=np.full(6, np.nan)), "the DataFrame has no points with a loss"),
        (
            table().drop(columns="loss"),
            "the DataFrame has no column 'loss' (found: curve, x); curves are rows of curve, x and loss, and "
            "columns={'its name': 'loss'} or --column 'its name'=loss renames",
        ),
    ],
)
def test_one_sentence(curves, sentence):
    with pytest.raises(bs.InputError) as error:
        list(read_curves(curves))
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"forms": ("M2", "M9")}, "form 'M9' is not known"),
        ({"forms": ("M2", "M2")}, "it names each form to mix once"),
        ({"draws": 0}, "draws is 0"),
        ({"population": 3}, "population is no posterior"),
        ({"columns": {"step": "x"}}, "has no column 'step' to rename"),
    ],
)
def test_settings_that_cannot_be_meant(settings, sentence):
    with pytest.raises(bs.InputError, match=sentence):
        bs.curve.fit(table(), **settings)


def test_points_come_in_order_of_x_and_rows_without_a_loss_are_left_out():
    shuffled = table(loss=[4.0, np.nan, 3.2, 3.0, 2.9, 2.85]).iloc[[3, 1, 0, 2, 5, 4]]
    x, loss = points_of(shuffled)["a"]
    assert x.tolist() == [1, 4, 8, 16, 32]
    assert loss.tolist() == [4.0, 3.2, 3.0, 2.9, 2.85]


def test_long_curves_are_averaged_in_bins():
    x = np.arange(1, 5001, dtype=float)
    curve = next(read_curves(pd.DataFrame({"curve": 7, "x": x, "loss": 3 * x**-0.1})))
    assert curve.name == "7"
    assert len(curve.log_x) <= 200
    assert (1 / curve.variance).sum() == pytest.approx(5000)
    np.testing.assert_allclose(curve.log_loss, np.log(3) - 0.1 * curve.log_x, atol=1e-12)
