"""TensorBoard: a folder of event files a run, its scalars and hparams."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bayes_scaling.errors import InputError
from bayes_scaling.imports.base import Query, Source, TrackedRun, library

__all__ = ["TensorBoard"]

_UNREAD = ("images", "audio", "histograms", "compressedHistograms")


class TensorBoard(Source):
    """Event files, as `torch.utils.tensorboard.SummaryWriter` and others write them.

    A folder with event files is a run; its id is its path below the source. ``add_hparams`` writes into a folder of its
    own, below the run's: where a run has one such folder, it is part of the run; where it has several, each is a run.
    """

    name: ClassVar[str] = "tensorboard"

    def read(self, source: Any, query: Query) -> list[TrackedRun]:  # noqa: ARG002 - there is nothing to filter by
        """A run for every folder with scalars or hparams."""
        if not (isinstance(source, str | Path) and Path(source).is_dir()):
            raise InputError(f"{source} is no folder, where TensorBoard's event files lie in one")
        root = Path(source)
        folders = sorted({file.parent for file in root.rglob("*tfevents*") if file.is_file()})
        if not folders:
            raise InputError(f"the folder {source} holds no event files (*tfevents*)")
        events = {folder: _read(folder) for folder in folders}
        for folder in folders:
            below = [other for other in folders if other.parent == folder and events[other]["hparams"]]
            if len(below) == 1 and events[folder]["scalars"] and not events[folder]["hparams"]:
                for part, values in events.pop(below[0]).items():
                    events[folder][part] |= {
                        name: value for name, value in values.items() if name not in events[folder][part]
                    }
        return [
            _run("." if folder == root else folder.relative_to(root).as_posix(), parts)
            for folder, parts in events.items()
            if parts["scalars"] or parts["hparams"]
        ]


def _run(run_id: str, parts: dict[str, dict[str, Any]]) -> TrackedRun:
    points: dict[str, Sequence[float]] = parts["scalars"]
    last = {tag: values[-1] for tag, values in points.items()}
    return TrackedRun(run_id, {"hparams": parts["hparams"], "scalars": last}, list(points), lambda tag: points[tag])


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """Points by tag, and hparams by name."""
    accumulator = library("tensorboard.backend.event_processing.event_accumulator", "tensorboard")
    everything, one = 0, 1
    sizes = {"scalars": everything, "tensors": everything} | dict.fromkeys(_UNREAD, one)
    events = accumulator.EventAccumulator(str(folder), sizes).Reload()
    tags = events.Tags()
    scalars = {tag: [point.value for point in events.Scalars(tag)] for tag in tags["scalars"]}
    for tag in tags["tensors"]:  # where TensorFlow, and tensorboard's own writer, keep scalars
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            as_array = library("tensorboard.util.tensor_util", "tensorboard").make_ndarray
            scalars[tag] = [float(as_array(point.tensor_proto)) for point in events.Tensors(tag)]
    return {"scalars": scalars, "hparams": _hparams(events)}


def _hparams(events: Any) -> dict[str, Any]:
    metadata = library("tensorboard.plugins.hparams.metadata", "tensorboard")
    try:
        content = events.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.SESSION_START_INFO_TAG]
    except KeyError:
        return {}
    found = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind") or "", None) for name, value in found.items()}
