import functools
import shutil
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import xarray as xr

from bayes_scaling import datasets
from bayes_scaling.runs import InputError, load_runs

FILES = ["t5-data.csv", "vit-data.json"]


@pytest.fixture
def upstream(data_folder, tmp_path, monkeypatch):
    """A copy of the upstream files, with no data folder set and an empty cache."""
    source = data_folder / "frantar2023"
    source = source if (source / FILES[0]).exists() else source / "upstream"
    if not (source / FILES[0]).exists():
        pytest.skip(f"the upstream files of frantar2023 are not in {source}")
    for name in FILES:
        (tmp_path / "served").mkdir(exist_ok=True)
        shutil.copy(source / name, tmp_path / "served")
    monkeypatch.delenv("BAYES_SCALING_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda app: str(tmp_path / "cache" / app))
    return tmp_path / "served"


class Handler(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012
    cut = False

    def do_GET(self):
        self.asked.append(self.path)
        if not self.cut:
            return super().do_GET()
        self.send_response(200)  # promises more than it sends, then closes the connection
        self.send_header("Content-Length", "2000")
        self.end_headers()
        self.wfile.write(b",sparsity,scale,val-loss,steps\n")
        self.close_connection = True
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(upstream, monkeypatch):
    """The upstream files behind HTTP on this machine, in place of the public repository."""
    handler = type("Handler", (Handler,), {"asked": [], "cut": False})
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=upstream)) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        point_at(monkeypatch, f"http://127.0.0.1:{http.server_port}")
        yield handler
        http.shutdown()
        thread.join()


def point_at(monkeypatch, address):
    entry, read = datasets._SETS["frantar2023"]
    moved = replace(entry, upstream=tuple(replace(file, folder=address) for file in entry.upstream))
    monkeypatch.setitem(datasets._SETS, "frantar2023", (moved, read))


def test_names_and_descriptions():
    assert datasets.names() == [
        "structures",
        "python-stdlib",
        "transfer",
        "regularisers",
        "batch_size",
        "mixtures",
        "frantar2023",
    ]
    for name in datasets.names():
        entry = datasets.describe(name)
        assert entry.name == name
        assert entry.description
        assert entry.reference
        assert entry.licence == "Apache-2.0"
    for file in datasets.describe("frantar2023").upstream:
        assert file.folder.startswith("https://raw.githubusercontent.com/google-research/jaxpruner/f133ee5")


@pytest.mark.parametrize("ask", [datasets.load, datasets.describe])
def test_unknown_name_lists_the_names(ask):
    with pytest.raises(
        InputError,
        match=r"no data set 'frantar'; there are structures, python-stdlib, transfer, .*frantar2023",
    ):
        ask("frantar")


def test_shipped_sweep():
    runs = datasets.load("python-stdlib")
    assert runs.attrs["source"] == "python-stdlib"
    assert datasets.describe("python-stdlib").description.startswith(f"{runs.sizes['run']} runs")
    assert set(runs["structure"].values) == {"dense", "unstructured", "2:4"}
    assert {0, 0.5, 0.75, 0.875} == set(runs["sparsity"].values.round(3))
    assert min(np.unique(runs[name]).size for name in ("nonzero_params", "data_seen")) >= 3
    cells = runs.to_dataframe().groupby(["structure", "sparsity", "nonzero_params", "data_seen"])["seed"].nunique()
    assert (cells > 1).sum() >= 10
    assert np.isfinite(runs["loss"]).all()


def test_shipped_sweep_over_structures():
    runs = datasets.load("structures")
    table = runs.to_dataframe()
    assert datasets.describe("structures").description.startswith(f"{len(table)} runs")
    assert np.isfinite(table["loss"]).all()
    for _, mine in table.groupby("modality"):
        kinds = {(structure, round(s, 3)) for structure, s in zip(mine["structure"], mine["sparsity"], strict=True)}
        sparse = {("unstructured", s) for s in (0.5, 0.75, 0.875)} | {("2:4", 0.5), ("1:4", 0.75), ("2:8", 0.75)}
        assert kinds == {("dense", 0.0)} | sparse
        scratch, started = (mine[mine["strategy"] == strategy] for strategy in ("scratch", "pretrained"))
        assert min(scratch["nonzero_params"].nunique(), scratch["data_seen"].nunique()) >= 3
        assert (started["pretrain_data"] > 0).all()
        assert (started["pretrain_flops"] > 0).all()
        assert set(started["structure"]) == {"unstructured", "2:4", "1:4", "2:8"}
        cells = scratch.groupby(["structure", "sparsity", "nonzero_params", "data_seen"])["seed"].nunique()
        assert (cells > 1).sum() >= 10


def test_shipped_sweep_of_transfer():
    table = datasets.load("transfer").to_dataframe()
    assert datasets.describe("transfer").description.startswith(f"{len(table)} runs")
    starts = table[table["available_data"].isna()]
    assert set(table["pretrained"]) - {""} == set(starts["run_id"])
    pairs = table.drop(starts.index)
    cells = pairs.groupby(["nonzero_params", "available_data", "seed"])["strategy"].agg(set)
    assert (cells == {"scratch", "pretrained"}).all(), "every fine-tuned run has one from scratch beside it"
    assert min(pairs["nonzero_params"].nunique(), pairs["available_data"].nunique()) >= 4
    assert (pairs["unique_data"] <= pairs["available_data"]).all()


def test_shipped_sweep_of_regularisers():
    table = datasets.load("regularisers").to_dataframe()
    assert datasets.describe("regularisers").description.startswith(f"{len(table)} runs")
    knobs = ["weight_decay", "dropout", "input_noise", "sparsity"]
    cells = table.groupby([*knobs, "available_data"])["seed"].nunique()
    assert (cells == 2).all()
    changed = (table[knobs] != [0.01, 0, 0, 0]).sum(axis=1)
    assert changed.max() == 1, "one knob at a time"
    of_matrix = [name for name in table.columns if name.startswith("stable_rank[")]
    assert len(of_matrix) == 8
    np.testing.assert_allclose(table[of_matrix].mean(axis=1), table["mean_stable_rank"], rtol=1e-6)


def test_shipped_sweep_over_batch_sizes():
    table = datasets.load("batch_size").to_dataframe()
    assert datasets.describe("batch_size").description.startswith(f"{len(table)} runs")
    assert (table["steps_to_target"] <= table["steps_trained"]).all()
    assert (table["loss"] <= table["target_loss"]).all()
    assert (table.groupby(["sparsity", "batch_size"])["learning_rate"].nunique() >= 4).all()
    assert table.groupby("sparsity")["batch_size"].nunique().to_list() == [6, 6, 6]


def test_shipped_sweep_of_mixtures():
    table = datasets.load("mixtures").to_dataframe()
    assert datasets.describe("mixtures").description.startswith(f"{len(table)} runs")
    amounts = table[[name for name in table if name.startswith("amount_")]]
    np.testing.assert_allclose(amounts.sum(axis=1), table["data_seen"])
    unchanged = amounts.median(axis=1)
    changes = (amounts.div(unchanged, axis=0)).round(1)
    assert {0.2, 1.0, 3.0} == set(changes.to_numpy().ravel())
    assert ((changes != 1).sum(axis=1) <= 1).all(), "one text at a time"
    cells = table.groupby([unchanged.round(-4), *(changes[name] for name in changes)])["seed"].nunique()
    assert cells.to_list() == [3] * 21


@pytest.mark.parametrize("layout", ["frantar2023", "frantar2023/upstream"])
def test_frantar2023_from_the_data_folder(upstream, data_folder, tmp_path, monkeypatch, layout):
    shutil.copytree(upstream, tmp_path / "data" / layout)
    monkeypatch.setenv("BAYES_SCALING_DATA", str(tmp_path / "data"))
    runs = datasets.load("frantar2023")
    assert not (tmp_path / "cache").exists()
    assert runs.attrs["reference"].startswith("Frantar")
    assert runs.attrs["licence"] == "Apache-2.0"
    assert (runs["modality"] == "language").sum() == 48
    assert (runs["modality"] == "vision").sum() == 112
    table = data_folder / "frantar2023" / "runs.csv"
    if table.exists():
        xr.testing.assert_identical(runs.drop_attrs(deep=False), load_runs(table).drop_attrs(deep=False))


def test_a_changed_file_in_the_data_folder_is_refused(upstream, tmp_path, monkeypatch):
    shutil.copytree(upstream, tmp_path / "data" / "frantar2023")
    monkeypatch.setenv("BAYES_SCALING_DATA", str(tmp_path / "data"))
    with (tmp_path / "data" / "frantar2023" / "vit-data.json").open("a") as file:
        file.write(" ")
    with pytest.raises(
        InputError, match=r"vit-data\.json is not the file that the data set frantar2023 is made from: its SHA"
    ):
        datasets.load("frantar2023")


def test_frantar2023_is_fetched_once(server):
    runs = datasets.load("frantar2023")
    assert runs.sizes["run"] == 160
    assert sorted(server.asked) == ["/t5-data.csv", "/vit-data.json"]
    xr.testing.assert_identical(datasets.load("frantar2023"), runs)
    assert len(server.asked) == 2


@pytest.mark.usefixtures("server")
def test_a_data_folder_without_the_set_is_no_hindrance(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYES_SCALING_DATA", str(tmp_path / "elsewhere"))
    assert datasets.load("frantar2023").sizes["run"] == 160


@pytest.mark.usefixtures("server")
def test_a_damaged_download_is_refused_and_not_kept(upstream, tmp_path):
    good = (upstream / FILES[0]).read_bytes()
    (upstream / FILES[0]).write_bytes(good.replace(b"3.12", b"3.13"))
    with pytest.raises(InputError, match=r"t5-data\.csv cannot be fetched \(what came has another checksum"):
        datasets.load("frantar2023")
    assert cached(tmp_path) == []
    (upstream / FILES[0]).write_bytes(good)
    assert datasets.load("frantar2023").sizes["run"] == 160


def test_an_interrupted_download_leaves_nothing_to_trust(server, tmp_path):
    server.cut = True
    with pytest.raises(InputError, match=r"t5-data\.csv cannot be fetched"):
        datasets.load("frantar2023")
    assert cached(tmp_path) == []
    server.cut = False
    assert datasets.load("frantar2023").sizes["run"] == 160


def test_a_damaged_file_in_the_cache_is_fetched_again(server, tmp_path):
    datasets.load("frantar2023")
    for path in (tmp_path / "cache").rglob("t5-data.csv"):
        path.write_bytes(path.read_bytes()[:100])
    assert datasets.load("frantar2023").sizes["run"] == 160
    assert server.asked.count("/t5-data.csv") == 2


@pytest.mark.usefixtures("server")
def test_a_missing_page_is_one_sentence(upstream):
    (upstream / FILES[1]).unlink()
    with pytest.raises(InputError, match=r"vit-data\.json cannot be fetched \(HTTP status 404\)"):
        datasets.load("frantar2023")


@pytest.mark.usefixtures("upstream")
def test_no_network_is_one_sentence_with_the_way_out(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    point_at(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(InputError) as caught:
        datasets.load("frantar2023")
    message = str(caught.value)
    assert message.startswith("http://127.0.0.1:9/t5-data.csv cannot be fetched (ConnectionError)")
    assert message.endswith("set BAYES_SCALING_DATA to a folder that holds frantar2023/t5-data.csv")
    assert "\n" not in message


@pytest.mark.usefixtures("server")
def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda app: str(tmp_path / "file" / app))
    with pytest.raises(InputError, match="cannot be fetched"):
        datasets.load("frantar2023")


def cached(tmp_path):
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
