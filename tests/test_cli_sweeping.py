import json

import pytest

pytest.importorskip("torch", reason="the runners need PyTorch: install bayes-scaling[runners]")

import xarray as xr

import bayes_scaling as bs
from runners.claims import held
from runners.plan import load_plan
from runners.store import Store


@pytest.fixture
def plan(texts, tmp_path):
    """Six runs, two of them dense starts that the plan does not name."""
    defaults = {"corpus": str(texts), "suffix": ".txt", "nonzero_params": 3072, "data_seen": 2560, "context": 16}
    defaults |= {"batch_size": 4, "heldout_items": 32, "device": "cpu", "pretrain_data": 1280}
    grid = {"strategy": ["scratch", "pretrained"], "kind": [["2:4", 0.5], ["unstructured", 0.75]]}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"defaults": defaults, "grid": [grid]}))
    return path


def sweep(command, plan, store, *more):
    return command("sweep", plan, "--store", store, "--executor", "inline", *more)


def test_a_dry_run_lists_what_would_be_trained_and_trains_nothing(command, plan, tmp_path):
    done = sweep(command, plan, tmp_path / "store", "--dry-run", "--json")
    assert done.status == 0, done.err
    content = json.loads(done.out)
    assert content["total"]["runs"] == len(content["runs"]) == 6
    assert content["total"]["states"] == {"planned": 6}
    assert {row["strategy"] for row in content["runs"]} == {"scratch", "pretrained"}
    assert all(row["seconds"] > 0 for row in content["runs"])
    assert content["total"]["seconds_to_do"] == pytest.approx(sum(row["seconds"] for row in content["runs"]))
    assert not (tmp_path / "store").exists()
    # What it says of a run is what the run becomes.
    assert sweep(command, plan, tmp_path / "store").status == 0
    table = bs.load_runs(tmp_path / "store").to_dataframe().set_index("run_id")
    for row in content["runs"]:
        trained = table.loc[row["run_id"]]
        for name in ("nonzero_params", "data_seen", "width", "mlp_width", "layers", "structure", "strategy"):
            assert trained[name] == row[name]
        assert trained["train_flops"] == pytest.approx(row["train_flops"], rel=1e-3)


def test_a_dry_run_for_people_says_where_runs_stand(command, plan, tmp_path):
    config = load_plan(plan).configs[0]
    store = Store(tmp_path / "store")
    store.folder.write(f"checkpoints/{config.run_id}.pt", b"half a run")
    done = sweep(command, plan, tmp_path / "store", "--dry-run", "--no-timing")
    assert done.status == 0
    assert "6 runs: 1 interrupted, 5 planned" in done.out
    assert "training FLOPs" in done.out
    assert "about" not in done.out


def test_a_sweep_goes_on_where_it_stopped_and_says_what_it_did(command, plan, tmp_path):
    store = tmp_path / "store"
    first = sweep(command, plan, store)
    assert (first.status, "6 trained, 0 were there" in first.err) == (0, True), first.err
    again = sweep(command, plan, store, "--json")
    assert json.loads(again.out)["finished"] == []
    assert len(json.loads(again.out)["skipped"]) == 6
    (store / "junk.json").write_text("{")
    assert "warning: " in sweep(command, plan, store).err


def test_the_runs_of_a_store_are_listed_whatever_their_state(command, plan, tmp_path):
    store, configs = tmp_path / "store", load_plan(plan).configs
    assert sweep(command, plan, store).status == 0
    ours = Store(store)
    failed = ours.read(configs[0].run_id) | {"status": "failed", "error": "no luck"}
    ours.write(failed)
    (store / f"{configs[1].run_id}.json").unlink()
    (store / f"{configs[2].run_id}.json").unlink()
    ours.folder.write(f"checkpoints/{configs[1].run_id}.pt", b"half a run")
    with held(ours, [configs[2].run_id]) as claims:
        claims.at(configs[2].run_id, 3, 40)
        claims.renew()
        done = command("runs", store, "--json")
    rows = {row["run_id"]: row for row in json.loads(done.out)["runs"]}
    assert [rows[config.run_id]["state"] for config in configs[:3]] == ["failed", "interrupted", "running"]
    assert rows[configs[0].run_id]["error"] == "no luck"
    assert (rows[configs[2].run_id]["step"], rows[configs[2].run_id]["steps"]) == (3, 40)
    assert [rows[config.run_id]["state"] for config in configs[3:]] == ["finished"] * 3
    only = command("runs", store, "--state", "failed", "--json")
    assert [row["run_id"] for row in json.loads(only.out)["runs"]] == [configs[0].run_id]
    assert "5 runs" in command("runs", store).out


def test_runs_are_selected_and_exported(command, plan, tmp_path):
    store = tmp_path / "store"
    assert sweep(command, plan, store).status == 0
    done = command("runs", store, "--where", "sparsity > 0.6", "--out", tmp_path / "some.csv")
    assert done.status == 0
    assert set(bs.load_runs(tmp_path / "some.csv")["sparsity"].to_numpy()) == {0.75}
    wrong = command("runs", store, "--where", "depth > 3")
    assert wrong.status == 2
    assert "'depth > 3' cannot be evaluated" in wrong.err
    assert "nonzero_params" in wrong.err


def test_learning_curves_are_loaded_over_run_and_step(command, plan, tmp_path):
    store = tmp_path / "store"
    assert sweep(command, plan, store).status == 0
    assert command("runs", store, "--curves", tmp_path / "curves.nc").status == 0
    curves = bs.load_curves(store)
    assert curves.sizes["run"] == 6
    assert curves.identical(xr.load_dataset(tmp_path / "curves.nc", engine="h5netcdf"))
    table = bs.load_runs(store).to_dataframe().set_index("run_id")
    for i, run_id in enumerate(curves["run_id"].to_numpy()):
        curve = curves.isel(run=i)
        assert curve["heldout_loss"].dropna("step").to_numpy().tolist() == [table.loc[run_id, "loss"]]
        assert curve["data_seen"].max() == table.loc[run_id, "data_seen"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--option", "gpus"), "--option is 'gpus'; NAME=VALUE is needed"),
        (("--option", "gpus=2"), "executor 'inline' has no setting 'gpus'; it has none"),
        (("--set", "depth=3"), "--set is 'depth=3'"),
        (("--retry", "all"), "retry is ['all']; allowed are diverged, changed"),
        (("--max-runs", "1"), "the plan has 4 combinations, more than the 1 allowed"),
    ],
)
def test_mistakes_are_one_line(command, plan, tmp_path, more, message):
    done = sweep(command, plan, tmp_path / "store", *more)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_a_store_that_is_none(command, plan, tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file; a folder is needed" in sweep(command, plan, tmp_path / "file").err
    assert command("runs", tmp_path / "nothing").status == 2
    (tmp_path / "empty").mkdir()
    assert "holds no run records" in command("runs", tmp_path / "empty").err
    assert command("runs", tmp_path / "empty", "--curves", tmp_path / "x.csv").status == 2
