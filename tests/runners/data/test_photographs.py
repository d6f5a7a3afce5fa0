"""The wallpaper packages: with a stand-in for apt, and with the real one where it has them."""

import subprocess

import pytest

pytest.importorskip("PIL.Image", reason="reading pictures needs bayes-scaling[runners]")

from bayes_scaling.runs import InputError
from runners.data import cache
from runners.data.images import cut
from runners.data.images.source import Picture
from runners.data.images.sources import photographs
from tests.runners.data.conftest import picture, png

SMALL = "palapeli-data"  # 2 MB


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch):
    root = tmp_path / "system"
    root.mkdir()
    monkeypatch.setattr(photographs, "SYSTEM", root)
    return root


def no_such_package(words, _):
    raise subprocess.CalledProcessError(100, words, stderr=f"E: Unable to locate package {words[-1]}\n")


def test_more_than_forty_photographs_are_listed_once_each():
    paths = [path for paths in photographs.packages().values() for path in paths]
    assert len(paths) == len(set(paths)) > 40
    assert all(path.startswith("usr/share/") and "{" not in path for path in paths)


def test_what_is_installed_is_not_fetched(nothing_installed, monkeypatch):
    for number, path in enumerate(path for paths in photographs.packages().values() for path in paths):
        (nothing_installed / path).parent.mkdir(parents=True, exist_ok=True)
        (nothing_installed / path).write_bytes(png(picture(number)))
    monkeypatch.setattr(photographs, "_command", lambda *_: pytest.fail("fetched"))
    source = photographs.open_source("photographs", column=None, labelled=False)
    assert source.facts["files"] == len(list(source.pictures())) > 40
    assert source.name == "photographs"


@pytest.mark.usefixtures("nothing_installed")
def test_a_package_that_this_system_does_not_know_is_done_without(monkeypatch):
    monkeypatch.setattr(photographs, "_command", no_such_package)
    assert not photographs.fetch(SMALL, cache.root() / SMALL)
    with pytest.raises(InputError, match=r"found 0 photographs and needs 20: install lomiri.*, or use photographs of"):
        photographs.open_source("photographs", column=None, labelled=False)


@pytest.mark.usefixtures("nothing_installed")
def test_a_failed_download_says_why_and_leaves_nothing(monkeypatch):
    def offline(words, _):
        raise subprocess.CalledProcessError(100, words, stderr="W: old\nE: Failed to fetch, no network\n")

    monkeypatch.setattr(photographs, "_command", offline)
    with pytest.raises(InputError, match=r"needs the package 'lomiri.*, and 'apt-get' failed: E: Failed to fetch, no"):
        photographs.open_source("photographs", column=None, labelled=False)
    assert not (cache.root() / "photographs" / "lomiri-wallpapers-16.04").exists()


@pytest.mark.usefixtures("nothing_installed")
def test_a_machine_without_apt_gets_the_same_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="found 0 photographs"):
        photographs.open_source("photographs", column=None, labelled=False)


@pytest.mark.usefixtures("nothing_installed")
def test_real_photographs_come_from_the_real_package():
    paths = photographs.packages()[SMALL]
    try:
        files = photographs.files_of(SMALL, paths)
    except InputError as error:
        pytest.skip(f"apt-get cannot fetch here: {error}")
    if not files:
        pytest.skip(f"apt-get knows no package {SMALL} here")
    assert [str(file.relative_to(cache.root() / "photographs" / SMALL)) for file in files] == paths
    assert (cache.root() / "photographs" / SMALL / "usr/share/doc" / SMALL / "copyright").is_file()
    tiles = cut.tiles(cut.decode(Picture(str(files[0]), files[0].read_bytes())), 32)
    assert len(tiles) > 100
    assert cut.is_flat(tiles).mean() < 0.9
