"""Photographs, cut into tiles: those of Debian's wallpaper packages, or one's own.

The packages hold drawings and patterns too, so the photographs among them are listed in
``photographs.toml``. They are read where they
are installed; what is not is fetched by ``apt-get download`` into the user's cache folder, which takes no root. Each
package's licences lie beside, in ``usr/share/doc/PACKAGE/copyright``; nothing of it is shipped here.
"""

import os
import subprocess
import tempfile
import tomllib
from importlib import resources
from pathlib import Path

from bayes_scaling.runs import InputError
from runners.data import cache
from runners.data.images.same import distinct
from runners.data.images.source import ImageSource, Picture
from runners.data.images.sources.folder import pictures_below, read
from runners.data.split import content_hash

__all__ = ["KIND", "TASK", "open_source", "packages"]

KIND = "photographs"
TASK = "hidden"
HELDOUT_FRACTION = 0.25  # of few photographs, so that the held-out ones are more than a handful
FEWEST = 20
SYSTEM = Path("/")


def packages() -> dict[str, list[str]]:
    """Of each package the paths of the files that are photographs."""
    listed = tomllib.loads((resources.files("runners.data.images") / "photographs.toml").read_text())["packages"]
    return {entry["name"]: [entry["path"].format(name) for name in entry["photographs"]] for entry in listed}


def open_source(where: str, *, column: str | None, labelled: bool) -> ImageSource:  # noqa: ARG001
    """The photographs of the packages, or with ``photographs:FOLDER`` all pictures below a folder."""
    if labelled:
        raise InputError("task is 'labels', but photographs have none; the tasks for them are 'hidden' and 'rotation'")
    if where in ("", KIND):
        files = [file for package, names in packages().items() for file in files_of(package, names)]
        if len(files) < FEWEST:
            raise InputError(
                f"corpus 'photographs' found {len(files)} photographs and needs {FEWEST}: install "
                f"{', '.join(packages())}, "
                "let apt-get know of them (apt-get update), or use photographs of your own, 'photographs:FOLDER'"
            )
    else:
        if not Path(where).is_dir():
            raise InputError(f"corpus is 'photographs:{where}', and {where!r} is no folder")
        files = pictures_below(Path(where))
    found = [Picture(str(file), read(file)) for file in files]
    return ImageSource(
        kind=KIND,
        name=KIND if where in ("", KIND) else f"{KIND}:{where}",
        fingerprint=content_hash("".join(sorted(content_hash(picture.content) for picture in found)).encode()),
        pictures=lambda: iter(distinct(found)),
        classes=lambda: (),
        tiled=True,
        duplicates="pictures that look like a larger one; tiles that are another's rotation, or their own",
        heldout_fraction=HELDOUT_FRACTION,
        facts={"files": len(found)},
    )


def files_of(package: str, names: list[str]) -> list[Path]:
    """The photographs of a package where they are installed, else from the cache, fetched if need be.

    A package that this system does not know gives none; releases differ in what they have.
    """
    place = cache.root() / KIND / package
    for root in (SYSTEM, place):
        if found := [root / name for name in names if (root / name).is_file()]:
            return found
    if not place.is_dir() and fetch(package, place):
        return [place / name for name in names if (place / name).is_file()]
    return []


def fetch(package: str, place: Path) -> bool:
    """Download a Debian package and unpack it into `place`; False where there is no such package."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            _command(["apt-get", "download", package], folder)
            (archive,) = Path(folder).glob("*.deb")
            with cache.building(place) as new:
                _command(["dpkg-deb", "-x", str(archive), str(new)], folder)
        except FileNotFoundError:  # no Debian: the count of photographs says it all
            return False
        except subprocess.CalledProcessError as error:
            if "Unable to locate package" in error.stderr:
                return False
            raise InputError(
                f"corpus 'photographs' needs the package {package!r}, which is not installed, and {error.cmd[0]!r} "
                f"failed: {(error.stderr.strip() or 'no reason given').splitlines()[-1]}"
            ) from error
    return True


def _command(words: list[str], folder: str) -> None:
    subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
