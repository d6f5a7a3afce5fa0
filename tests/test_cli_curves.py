"""`bayes-scaling curves`."""

import json

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.curve.view import curve_rows


@pytest.fixture
def written(write):
    """Two curves as a file in the working folder, whose x is called tokens."""
    x = np.geomspace(1e6, 1e8, 12)
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal((2, 12)))
    losses = zip(("small", "large"), noise * (np.outer((90, 60), x**-0.3) + 1.5), strict=True)
    lines = [f"{name},{a:.6g},{loss:.6g}" for name, all_ in losses for a, loss in zip(x, all_, strict=True)]
    return write("curve,tokens,loss", *lines, name="curves.csv")


def test_json_is_what_python_says(command, written):
    options = ("--column", "tokens=x", "--at", "1e9", "--at", "3e9", "--form", "M2", "--prob", "0.8")
    done = command("curves", written, *options, "--json")
    assert (done.status, done.err) == (0, "")
    said = json.loads(done.out)
    posterior = bs.curve.fit(written, columns={"tokens": "x"}, forms=["M2"])
    same = curve_rows(posterior, [1e9, 3e9], "new-point", 0.8)
    assert said["curves"] == json.loads(json.dumps(same))
    assert (said["prob"], said["kind"], said["notes"]) == (0.8, "new-point", [])
    first = said["curves"][0]
    assert [forecast["x"] for forecast in first["forecasts"]] == [1e9, 3e9]
    assert first["forecasts"][0]["lower"] < 90 * 1e9**-0.3 + 1.5 < first["forecasts"][0]["upper"]
    assert first["forecasts"][0]["extrapolation"] == pytest.approx(np.log(10))


def test_the_table_and_the_file(command, written):
    done = command("curves", written, "--column", "tokens=x", "--at", "1e9", "--form", "M2", "--out", "posterior.nc")
    assert done.status == 0
    assert "small" in done.out
    assert "89%" in done.out
    assert "posterior of 2 curves written to posterior.nc" in done.err
    again = command(
        "curves", written, "--column", "tokens=x", "--at", "1e9", "--form", "M2", "--population", "posterior.nc"
    )
    assert again.status == 0


def test_bad_input_is_one_sentence_and_status_2(command, write):
    short = write("curve,x,loss", *(f"a,{x},{3 / x}" for x in (1, 2, 4)), name="short.csv")
    done = command("curves", short, "--at", "8", "--json")
    assert (done.status, done.out) == (2, "")
    assert done.err.strip() == "bayes-scaling: curve 'a' has 3 points; a fit takes 5 or more"
    wrong = write("curve,x,loss", *(f"a,{x},{3 - x}" for x in (1, 2, 2.5, 2.9, 4)), name="wrong.csv")
    done = command("curves", wrong, "--at", "8")
    assert done.status == 2
    assert done.err.strip() == "bayes-scaling: wrong.csv, line 6: loss is '-1', where a number above 0 is allowed"
