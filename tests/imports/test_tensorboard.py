"""Event files that torch's writer and tensorboard's own wrote."""

import sys

import pytest

import bayes_scaling as bs
from bayes_scaling.notes import read_notes

pytest.importorskip("tensorboard")

NAMES = {"N": "nonzero_params", "D": "data_seen"}


def scalars(writer, points, metric="eval/loss"):
    for step, point in enumerate(points):
        writer.add_scalar(metric, point, step)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Three runs with hparams, as `add_hparams` writes them: below the run, in the run's folder, and without any."""
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    root = tmp_path_factory.mktemp("runs")
    hparams = {"N": 1e6, "D": 1e9, "sparsity": 0.5, "structure": "2:4", "fused": True}
    with tensorboard.SummaryWriter(root / "sweep" / "below") as writer:
        scalars(writer, [4.0, 2.0, 3.0])
        scalars(writer, range(2000), "tokens")
        writer.add_hparams(hparams, {"hparam/loss": 3.0})
    with tensorboard.SummaryWriter(root / "sweep" / "beside") as writer:
        scalars(writer, [5.0, 4.5])
        writer.add_hparams(hparams | {"N": 2e6}, {}, run_name=".")
    with tensorboard.SummaryWriter(root / "without") as writer:
        scalars(writer, [6.0])
    return root


def test_a_folder_is_a_run_and_hparams_are_its_configuration(logs):
    runs = bs.import_runs(logs, "tensorboard", NAMES | {"fused": "fused"}, metric="eval/loss")
    assert runs["run_id"].values.tolist() == ["sweep/below", "sweep/beside"]
    assert runs["loss"].values.tolist() == [3.0, 4.5]
    assert runs["nonzero_params"].values.tolist() == [1e6, 2e6]
    assert runs["structure"].values.tolist() == ["2:4", "2:4"]
    assert runs["fused"].values.tolist() == [True, True]
    assert [note.message for note in read_notes(runs.attrs)] == [
        f"1 of 3 runs of {logs} left out, without 'N': without."
    ]


def test_every_point_counts_however_many(logs):
    columns = {"N": "nonzero_params", "tokens": "data_seen"}
    runs = bs.import_runs(logs / "sweep" / "below", "tensorboard", columns, "best", metric="eval/loss")
    assert runs["run_id"].item() == "."
    assert (runs["loss"].item(), runs["data_seen"].item()) == (2.0, 1999.0)
    with pytest.raises(bs.InputError, match="fewer points of 'tokens' than mean:2001"):
        bs.import_runs(logs, "tensorboard", NAMES, "mean:2001", metric="tokens")
    assert bs.import_runs(logs, "tensorboard", NAMES, "mean:2000", metric="tokens")["loss"].item() == 999.5


def test_several_sets_of_hparams_below_one_folder_are_runs_of_their_own(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        for i in (1, 2):
            hparams = {"N": i * 1e6, "D": 1e9, "sparsity": 0.0}
            writer.add_hparams(hparams, {"eval/loss": 4.0 - i}, run_name=f"trial{i}")
    runs = bs.import_runs(tmp_path, "tensorboard", NAMES, metric="eval/loss")
    assert runs["run_id"].values.tolist() == ["trial1", "trial2"]
    assert runs["loss"].values.tolist() == [3.0, 2.0]


def test_scalars_that_are_kept_as_tensors(tmp_path):
    from tensorboard.summary import Writer

    writer = Writer(str(tmp_path / "run"))
    for step, loss in enumerate([3.0, 2.5, 2.75]):
        writer.add_scalar("epoch_loss", loss, step=step)
    writer.close()
    constants = {"nonzero_params": 1e6, "data_seen": 1e9, "sparsity": 0}
    runs = bs.import_runs(tmp_path, "tensorboard", None, "best", metric="epoch_loss", constants=constants)
    assert runs["loss"].item() == 2.5


def test_a_restarted_run_goes_on_in_another_file(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    for points, suffix in (([4.0, 3.0], ".1"), ([2.0], ".2")):
        with tensorboard.SummaryWriter(tmp_path / "run", filename_suffix=suffix) as writer:
            for i, point in enumerate(points):
                writer.add_scalar("loss", point, i + (10 if suffix == ".2" else 0))
    constants = {"nonzero_params": 1e6, "data_seen": 1e9, "sparsity": 0}
    runs = bs.import_runs(tmp_path, "tensorboard", loss="mean:3", constants=constants)
    assert runs["loss"].item() == 3.0


def test_mistakes_are_one_sentence(logs, tmp_path):
    with pytest.raises(
        bs.InputError, match=r"no metric 'loss' in any run \(there are: eval/loss, tokens, hparam/loss\)"
    ):
        bs.import_runs(logs, "tensorboard", NAMES)
    with pytest.raises(bs.InputError, match="holds no event files"):
        bs.import_runs(tmp_path, "tensorboard")
    with pytest.raises(bs.InputError, match="none is no folder"):
        bs.import_runs("none", "tensorboard")
    with pytest.raises(bs.InputError, match="is no folder, where TensorBoard's"):
        bs.import_runs(next(logs.glob("without/*")), "tensorboard")


def test_without_the_extra(logs, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    with pytest.raises(bs.InputError, match=r"pip install 'bayes-scaling\[tensorboard\]'"):
        bs.import_runs(logs, "tensorboard", NAMES, metric="eval/loss")
