"""What all kinds of sources share: names, the loss rule, what is left out, and what is told of mistakes."""

import math

import numpy as np
import pandas as pd
import pytest

import bayes_scaling as bs
from bayes_scaling import imports
from bayes_scaling.imports import FINISHED, TrackedRun
from bayes_scaling.notes import read_notes

NAMES = {"N": "nonzero_params", "D": "data_seen"}
LOSSES = {"a": [4.0, 3.0, 3.5, 3.25], "b": [5.0, 4.5]}


def steps(losses=LOSSES, **more):
    """One row a step."""
    return [
        {"run_id": run, "N": 1e6, "D": 1e9 * (step + 1), "sparsity": 0.5, "step": step, "val/loss": loss} | more
        for run, values in losses.items()
        for step, loss in enumerate(values)
    ]


def imported(rows=None, columns=NAMES, loss="last", metric="val/loss", **more):
    return bs.import_runs(steps() if rows is None else rows, "table", columns, loss, metric=metric, **more)


def left_out(runs):
    return {
        note.about["reason"]: note.about["run_id"] for note in read_notes(runs.attrs) if note.code == "runs_left_out"
    }


class Tracker(imports.Source):
    """A kind of source whose runs a test gives it."""

    name = "tracker"

    def read(self, source, query):  # noqa: ARG002
        return source


@pytest.fixture
def tracker(monkeypatch):
    monkeypatch.setattr(imports, "_SOURCES", dict(imports._SOURCES))
    imports.register(Tracker)
    return "tracker"


def run(run_id, points=(3.0,), state=FINISHED, **config):
    config = {"N": 1e6, "D": 1e9, "sparsity": 0.5} | config
    points = list(points)
    return TrackedRun(
        run_id, {"config": config, "summary": {"note": "x"}}, ["val"] if points else [], lambda _: points, state=state
    )


# --- the loss rule ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "losses"),
    [("last", [3.25, 4.5]), ("best", [3.0, 4.5]), ("mean:2", [3.375, 4.75]), ("mean:1", [3.25, 4.5])],
)
def test_the_rule_picks_the_loss_and_is_recorded(rule, losses):
    runs = imported(loss=rule)
    assert runs["loss"].values.tolist() == losses
    assert runs["loss_rule"].values.tolist() == [f"{rule} val/loss"] * 2
    assert runs["run_id"].values.tolist() == ["a", "b"]


def test_a_metric_that_is_no_loss_has_its_last_value():
    assert imported(loss="best")["data_seen"].values.tolist() == [4e9, 2e9]


def test_the_loss_rule_survives_a_file(tmp_path):
    again = bs.load_runs(bs.save_runs(imported(loss="best"), tmp_path / "sweep.csv"))
    assert again["loss_rule"].values.tolist() == ["best val/loss"] * 2


def test_a_run_with_fewer_points_than_the_mean_needs_is_left_out():
    runs = imported(loss="mean:3")
    assert runs["run_id"].values.tolist() == ["a"]
    assert left_out(runs) == {"with fewer points of 'val/loss' than mean:3 needs": "b"}


@pytest.mark.parametrize("rule", ["last", "best", "mean:2"])
@pytest.mark.parametrize("end", [math.nan, math.inf, "NaN", "Infinity"])
def test_a_run_that_ends_without_a_finite_loss_has_diverged_under_every_rule(tracker, rule, end):
    runs = bs.import_runs([run("a", [3.0, end]), run("b", [3.0, 2.5])], tracker, NAMES, rule, metric="val")
    assert np.isnan(runs["loss"].values).tolist() == [True, False]
    assert [note.code for note in read_notes(runs.attrs)] == ["diverged_runs"]


def test_a_spike_before_the_end_does_not_count_for_the_best(tracker):
    runs = bs.import_runs([run("a", [3.0, math.nan, 2.5])], tracker, NAMES, "best", metric="val")
    assert runs["loss"].item() == 2.5


def test_a_metric_in_another_unit_is_converted_after_the_rule():
    rows = steps({"a": [30.0, 10.0, 20.0]})
    runs = imported(rows, NAMES | {"val/loss": "perplexity"}, "best", metric=None)
    assert runs["loss"].item() == pytest.approx(math.log(10))


def test_a_value_without_history_is_the_last_and_nothing_else(tracker):
    runs = [run("a", (), final=2.5)]
    assert bs.import_runs(runs, tracker, NAMES, metric="final")["loss"].item() == 2.5
    with pytest.raises(bs.InputError, match="1 run without a history of 'final'"):
        bs.import_runs(runs, tracker, NAMES, "best", metric="final")


# --- columns ---------------------------------------------------------------------------------------------------------


def test_our_own_names_need_no_mapping_and_others_are_left_behind():
    runs = imported(steps(seed=7, optimizer="adam"))
    assert runs["seed"].values.tolist() == [7, 7]
    assert "optimizer" not in runs
    assert "step" not in runs


def test_a_mapped_name_goes_before_our_own():
    runs = imported(steps(nonzero_params=5.0))
    assert runs["nonzero_params"].values.tolist() == [1e6, 1e6]


def test_other_columns_come_along_under_the_name_given():
    runs = imported(steps(strategy="ddp"), NAMES | {"strategy": "launcher"})
    assert runs["launcher"].values.tolist() == ["ddp", "ddp"]
    assert runs["strategy"].values.tolist() == ["scratch", "scratch"]


def test_constants_hold_for_every_run():
    runs = imported(constants={"modality": "vision", "data_unit": "examples", "param_kind": "all"})
    assert set(runs["modality"].values) == {"vision"}
    assert runs["data_seen"].attrs["units"] == "examples"


def test_a_name_can_say_its_part(tracker):
    source = [TrackedRun("a", {"config": {"loss": "ce", "N": 1, "D": 2}, "summary": {"loss": 3.0, "sparsity": 0.5}})]
    assert bs.import_runs(source, tracker, NAMES)["loss"].item() == 3.0
    runs = bs.import_runs(source, tracker, NAMES | {"config.loss": "criterion", "summary.loss": "loss"})
    assert (runs["criterion"].item(), runs["loss"].item()) == ("ce", 3.0)


# --- what is left out ------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_told_with_its_reason(tracker):
    source = [
        run("fine"), run("ill", state="crashed"), run("on", state="running"), run("bare", ()), run("odd", N=None),
        run("text", ["high"]),
    ]  # fmt: skip
    runs = bs.import_runs(source, tracker, NAMES, metric="val")
    assert runs["run_id"].values.tolist() == ["fine"]
    assert left_out(runs) == {
        "not finished (crashed)": "ill", "not finished (running)": "on", "without 'val'": "bare", "without 'N'": "odd",
        "where 'val' is no number": "text",
    }  # fmt: skip
    note = read_notes(runs.attrs)[0]
    assert note.message == "1 of 6 runs of the list left out, not finished (crashed): ill."
    assert note.numbers == {"left_out": 1, "runs": 6}


def test_many_left_out_are_named_in_part_and_counted(tracker):
    runs = bs.import_runs([run("fine"), *(run(f"r{i}", ()) for i in range(9))], tracker, NAMES, metric="val")
    assert "9 of 10 runs" in read_notes(runs.attrs)[0].message
    assert read_notes(runs.attrs)[0].message.endswith("r0, r1, r2, r3, r4 and 4 more.")


def test_unfinished_runs_are_taken_on_demand(tracker):
    runs = bs.import_runs([run("a", state="crashed")], tracker, NAMES, metric="val", unfinished=True)
    assert runs["run_id"].values.tolist() == ["a"]
    assert not left_out(runs)


def test_nothing_is_told_where_nothing_is_left_out():
    assert read_notes(imported().attrs) == []


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"loss": "lowest"}, "loss is 'lowest', which is no rule; the rules are last, best and mean:K"),
        ({"loss": "mean:0"}, "loss is 'mean:0', which is no rule"),
        ({"loss": "mean:"}, "loss is 'mean:', which is no rule"),
        ({"metric": "eval"}, "has no metric 'eval' in any run (there are: run_id, N, D, sparsity, step, val/loss)"),
        ({"metric": None}, "has no metric 'loss' in any run"),
        ({"columns": NAMES | {"M": "total_params"}}, "has no 'M' in any run (there are: run_id, N, D,"),
        ({"columns": {"D": "data_seen"}}, "has no 'nonzero_params' in any run (there are: run_id, N, D,"),
        ({"columns": NAMES | {"val/loss": "loss_se"}}, "metric is 'val/loss', which columns maps to 'loss_se'"),
        ({"columns": NAMES | {"step": "data_seen"}}, "the column 'data_seen' is given twice"),
        ({"constants": {"data_seen": 1e9}}, "the column 'data_seen' is given twice"),
        ({"constants": {"modality": ""}}, None),
        ({"filter": "N > 3"}, "filter is 'N > 3', which the kind 'table' does not take; it is for mlflow, wandb"),
        ({"experiments": ["a"]}, "experiments is ['a'], which the kind 'table' does not take; it is for mlflow"),
        ({"constants": {"sparsity": 50}}, "the list, run_id 'a', column 'sparsity': found 50"),
    ],
)
def test_mistakes_are_one_sentence(more, message):
    if message is None:
        assert set(imported(**more)["modality"].values) == {"all"}
        return
    with pytest.raises(bs.InputError) as told:
        imported(**more)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_an_unknown_kind_lists_the_known():
    with pytest.raises(
        bs.InputError, match="kind 'neptune' is not known; the kinds of sources are mlflow, table, tens"
    ):
        bs.import_runs("here", "neptune")


def test_no_runs_and_none_left(tracker):
    with pytest.raises(bs.InputError, match="the list has no runs"):
        bs.import_runs([], tracker)
    with pytest.raises(
        bs.InputError, match=r"has no run that can be used: 1 run not finished \(running\); runs that did"
    ):
        bs.import_runs([run("a", state="running")], tracker, NAMES, metric="val")


def test_a_long_list_of_names_is_cut(tracker):
    config = {f"key{i}": i for i in range(100)}
    with pytest.raises(bs.InputError, match="key36 and 65 more"):
        bs.import_runs([run("a", **config)], tracker, NAMES | {"width": "width"}, metric="val")


def test_every_kind_is_one_file():
    assert imports.names() == ["mlflow", "table", "tensorboard", "wandb"]


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_file_with_a_row_a_step(tmp_path):
    rows = pd.DataFrame(steps()).sample(frac=1, random_state=0)  # in any order, since it has a column step
    rows.loc[rows["step"] == 1, "val/loss"] = None  # not evaluated at that step
    rows.to_csv(tmp_path / "steps.csv", index=False)
    runs = bs.import_runs(tmp_path / "steps.csv", "table", NAMES, "best", metric="val/loss")
    assert dict(zip(runs["run_id"].values, runs["loss"].values, strict=True)) == {"a": 3.25, "b": 5.0}
    assert runs.attrs["source"] == str(tmp_path / "steps.csv")


def test_a_row_a_run_without_ids():
    rows = [{key: value for key, value in row.items() if key != "run_id"} for row in steps({"a": [3.0], "b": [2.0]})]
    runs = imported(rows)
    assert runs["run_id"].values.tolist() == ["run-0001", "run-0002"]
    assert runs["loss"].values.tolist() == [3.0, 2.0]


def test_ids_and_steps_under_other_names():
    rows = [{"id": 7, "t": t, "N": 1e6, "D": 1e9, "sparsity": 0.0, "val": loss} for t, loss in ((2, 3.0), (1, 4.0))]
    runs = imported(rows, NAMES | {"id": "run_id", "t": "step"}, metric="val")
    assert (runs["run_id"].item(), runs["loss"].item()) == ("7", 3.0)


def test_a_file_that_is_no_table(tmp_path):
    with pytest.raises(bs.InputError, match=r"none\.csv does not exist"):
        bs.import_runs(tmp_path / "none.csv", "table")
