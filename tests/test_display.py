from types import SimpleNamespace

import numpy as np
import pytest
from helpers import hand_built, one_modality, random_coefficients
from rich.text import Text

import bayes_scaling as bs
from bayes_scaling.display import count, modality_tables, notes_view, plain, prediction_view, recommendation_view
from bayes_scaling.notes import Note, read_notes

SIZE = 1.6e7
HOSTILE = "a[bold]b[/bold] [/] :smile: <i>&"


def flowing(text):
    """Text as if it had never been wrapped."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("value", "text"),
    [(6144, "6.14k"), (98_304, "98.3k"), (4.2e6, "4.2M"), (1.5e9, "1.5B"), (3.3e12, "3.3T"), (7, "7"), (0.5, "0.5")],
)
def test_counts_for_people(value, text):
    assert count(value) == text


def test_text_is_text_in_a_notebook_too(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert plain(Text("train at sparsity 0.35")) == "train at sparsity 0.35"


@pytest.mark.parametrize("value", [999, 999.9, 999_999, 1e6, 999_999_999, 9.99e14, 1e15, 4e21, 0])
def test_counts_read_back_as_what_they_were(value):
    text = count(value)
    scale = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1)
    assert float(text.rstrip("kMBT")) * scale == pytest.approx(value, rel=6e-3)
    assert len(text) <= 8


def test_recommendation_shows_its_numbers(simulated):
    found = bs.recommend(simulated, SIZE, 3e18, prob=0.8)
    text = str(found)
    for answer in found.answers:
        assert answer.modality in text
        assert answer.structure in text
        assert f"{answer.recommended['sparsity']:.3f}" in text
        for values, digits in ((answer.loss, 4), (answer.dense_loss, 4), (answer.optimal_sparsity, 3)):
            low, mid, high = (f"{values[k]:.{digits}f}" for k in ("lower", "median", "upper"))
            assert f"{mid} [{low}, {high}]" in text
        assert count(answer.recommended["data_seen"]) in text
    assert "80%" in text
    assert "89" not in text.split("brackets")[1].split("intervals")[0]


@pytest.mark.parametrize(("number", "beside"), [(1, [1]), (3, [3]), (4, [2, 2]), (5, [3, 2]), (7, [3, 3, 1])])
def test_tables_of_many_structures_are_about_as_wide_as_each_other(number, beside):
    answers = [SimpleNamespace(modality="language", structure=f"{n}:8") for n in range(number)]
    tables = modality_tables(answers, {"name": lambda answer: answer.structure}, bold=1)
    assert [len(table.columns) - 1 for table in tables] == beside


def test_a_note_of_several_answers_is_shown_once(simulated):
    text = str(bs.recommend(simulated, 6.4e9, 1e21))
    for code in ("flops_per_example", "unseen_pair"):
        assert text.count(f"[{code}]") == 1, code
    assert "vision, unstructured; vision, 2:4" in flowing(text)
    # a note that every answer shares says so by naming none
    alone = str(bs.recommend(simulated, 6.4e9, 1e21, "vision", "2:4"))
    assert alone.count("[unseen_pair]") == 1
    assert "vision, 2:4: No run" not in flowing(alone)


def test_nothing_asked(simulated):
    assert str(bs.recommend(simulated, SIZE, 3e18, modality=[]))


def test_hostile_names_survive():
    rows = [row | {"modality": HOSTILE, "structure": "[red]" if row["sparsity"] else "dense"} for row in one_modality()]
    posterior = hand_built(random_coefficients(1, 30, SIZE), rows, modality=HOSTILE, structure="[red]")
    text = flowing(str(bs.recommend(posterior, SIZE, 3e18)))
    assert "[red]" in text
    assert "a[bold]b[/bold]" in text.replace(" ", "")
    assert ":smile:" in text
    note = Note("odd", "warning", f"The column {HOSTILE} is odd.")
    assert HOSTILE in flowing(plain(notes_view([note])))
    rows = [
        {"run_id": HOSTILE, "median": 1.0, "lower": 0.5, "upper": 2.0,
         "extrapolation": {"nonzero_params": 0.0, "data_seen": 1.5, "sparsity": 0.0, "train_flops": 0.2}}
    ]  # fmt: skip
    text = flowing(plain(prediction_view(rows, "mean", 0.89)))
    assert "a[bold]b" in text
    assert "4.48 times in data_seen" in text


def test_fit_shows_coefficients_gate_and_notes(simulated):
    found = bs.summary(simulated, 0.8)
    summary, text = found.quantities, str(found)
    assert "80%" in text
    assert "passed" in text
    for label in ("b_N[language]", "b_S[language, unstructured]", "c[vision]"):
        row = next(line for line in text.splitlines() if label in line)
        for key in ("median", "lower", "upper", "sd"):
            assert f"{summary[label][key]:.4g}" in row
    for note in read_notes(simulated.attrs):
        assert text.count(f"[{note.code}]") == 1
        assert note.message in flowing(text)


def test_a_failed_gate_is_shown(single):
    broken = single.copy(deep=True)
    found = '{"max_rhat": 1.2, "min_ess_bulk": 30.0, "min_ess_tail": 20.0, "divergences": 7, "ok": false}'
    broken.attrs["diagnostics"] = found
    text = flowing(str(bs.summary(broken)))
    assert "failed" in text
    assert "7 divergences" in text
    assert "1.200" in text


def test_predictions():
    rows = [
        {"run_id": f"r{i}", "median": 3.14159 + i, "lower": 3.0, "upper": 3.2,
         "extrapolation": dict.fromkeys(("nonzero_params", "data_seen", "sparsity", "train_flops"), 0.0)}
        for i in range(2)
    ]  # fmt: skip
    text = plain(prediction_view(rows, "new-run", 0.5))
    assert "50%" in text
    assert "3.1416" in text
    assert "4.1416" in text
    assert "Loss of a new run" in text


def test_views_fit_a_narrow_terminal(simulated):
    import io

    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=80).print(recommendation_view(bs.recommend(simulated, SIZE, 3e18, "language")))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "train at sparsity" in out.getvalue()


def test_dense_actions_say_so(simulated):
    found = bs.recommend(simulated, SIZE, 1e13, "language", "unstructured")
    assert found.answers[0].recommended["sparsity"] == 0
    assert "it is dense" in str(found)
    assert isinstance(Text(str(found)), Text)
    assert np.isfinite(found.answers[0].expected_regret)
