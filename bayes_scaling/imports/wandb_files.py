"""W&B's run files, ``run-*.wandb``, which hold all that a run logged, whether it was online or not.

Such a file is a log of LevelDB's format (blocks of 32 KiB; records cut into chunks with a checksum) behind a header of
seven bytes, and its records are protocol buffers, whose definitions come with the library ``wandb``.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bayes_scaling.errors import InputError
from bayes_scaling.imports.base import FINISHED, TrackedRun, flat, library

__all__ = ["read_logs"]

_HEADER = b":W&B\xe1\xbe\x00"
_BLOCK = 32768
_CHUNK = struct.Struct("<IHB")  # checksum, length, kind
_WHOLE, _FIRST, _LAST = 1, 2, 4


def read_logs(paths: Iterable[Path]) -> list[TrackedRun]:
    """The runs of some files; what was resumed goes on in another file and is one run.

    Raises
    ------
    InputError
        If a file is none of W&B's or is damaged.
    """
    logs: dict[str, _Log] = {}
    for path in sorted(paths, key=lambda path: path.parent.name.removeprefix("offline-")):  # by time
        log = _Log(path.stem.removeprefix("run-"))
        for record in _records(path):
            log.add(record)
        if log.run_id in logs:
            logs[log.run_id].go_on(log)
        else:
            logs[log.run_id] = log
    return [log.run() for log in sorted(logs.values(), key=lambda log: log.started)]


class _Log:
    """What the records of a file come to."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.name = self.group = ""
        self.started = 0.0
        self.state = "running or cut off"
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.points: dict[str, list[Any]] = {}

    def add(self, record: Any) -> None:
        match record.WhichOneof("record_type"):
            case "run":
                self.run_id, self.name = record.run.run_id, record.run.display_name
                self.group = record.run.run_group
                self.started = record.run.start_time.ToNanoseconds() / 1e9
                _update(self.config, record.run.config)
            case "config":
                _update(self.config, record.config)
            case "summary":
                _update(self.summary, record.summary)
            case "history":
                for item in record.history.item:
                    name = ".".join(item.nested_key) or item.key
                    for metric, value in flat({name: json.loads(item.value_json)}).items():
                        self.points.setdefault(metric, []).append(value)
            case "exit":
                code = record.exit.exit_code
                self.state = f"exit status {code}" if code else FINISHED

    def go_on(self, later: "_Log") -> None:
        self.state = later.state
        self.config |= later.config
        self.summary |= later.summary
        for metric, points in later.points.items():
            self.points.setdefault(metric, []).extend(points)

    def run(self) -> TrackedRun:
        summary = flat({name: value for name, value in self.summary.items() if name != "_wandb"})
        config = flat({name: value for name, value in self.config.items() if name != "_wandb"})
        return TrackedRun(
            self.run_id,
            {"config": config, "summary": summary, "run": {"group": self.group}},
            list(self.points),
            lambda metric: self.points[metric],
            self.name,
            self.state,
        )


def _update(values: dict[str, Any], change: Any) -> None:
    for item in change.update:
        *folders, name = list(item.nested_key) or [item.key]
        place = values
        for folder in folders:
            if not isinstance(place.get(folder), dict):
                place[folder] = {}
            place = place[folder]
        place[name] = json.loads(item.value_json)
    for item in change.remove:
        values.pop(item.key, None)


def _records(path: Path) -> Iterator[Any]:
    """The records of a file, up to where its writer was cut off."""
    protocol = library("wandb.proto.wandb_internal_pb2", "wandb")
    data = path.read_bytes()
    if _HEADER.startswith(data):  # killed before anything was written
        return
    if not data.startswith(_HEADER[:4]):
        raise InputError(f"{path} is no run file of W&B: it does not begin with {_HEADER[:4].decode()!r}")
    if not data.startswith(_HEADER):
        raise InputError(f"{path} is a run file of W&B of a version that is not known (its header: {data[:7].hex()})")
    position = len(_HEADER)
    parts: list[bytes] = []
    while position + _CHUNK.size <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _CHUNK.size:  # too little for another chunk: zeros
            position += left
            continue
        checksum, length, kind = _CHUNK.unpack_from(data, position)
        start, end = position + _CHUNK.size, position + _CHUNK.size + length
        if end > len(data):
            return
        if zlib.crc32(data[start - 1 : end]) != checksum:
            raise InputError(f"{path} is damaged at byte {position}")
        if kind in (_WHOLE, _FIRST):
            parts = []
        parts.append(data[start:end])
        if kind in (_WHOLE, _LAST):
            record = protocol.Record()
            record.ParseFromString(b"".join(parts))
            yield record
        position = end
