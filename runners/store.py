"""The store: one record a run, written so that nothing is lost and nothing is there twice.

Below the store's address lie

- ``RUN_ID.json``: the record;
- ``logs/RUN_ID.log``: what happened while it was trained;
- ``checkpoints/RUN_ID.pt``: where an unfinished run stands;
- ``models/RUN_ID.pt``: trained weights that other runs start from;
- ``claims/RUN_ID.NUMBER``: who is training it (`runners.claims`);
- ``replaced/RUN_ID-NUMBER.json``: a record that was set aside to train its run again.
"""

import errno
import os
from dataclasses import dataclass, field
from typing import Any

from bayes_scaling.runs import InputError
from runners import records
from runners.folder import Folder

__all__ = ["Contents", "Store", "StoreFullError"]


class StoreFullError(InputError):
    """There is no room left for a record; what was to be written is in the last checkpoint, if there is one."""


@dataclass
class Contents:
    """All records of a store.

    Attributes
    ----------
    records : dict of str to dict
        By run id, those that can be read.
    unreadable : dict of str to str
        File name and what is wrong with it.
    """

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


class Store:
    """Records, checkpoints, models and logs of runs, by run id.

    Parameters
    ----------
    address : str, Path or Store
        A folder, made when the first record is written, or an address that fsspec knows.
    """

    def __init__(self, address: "str | os.PathLike[str] | Store") -> None:
        self.folder: Folder = address.folder if isinstance(address, Store) else Folder(address)

    def __str__(self) -> str:
        return str(self.folder)

    def write(self, record: dict[str, Any]) -> None:
        """Write a record under its run id, all of it or nothing.

        Raises
        ------
        StoreFullError
            There is no room for it.
        """
        run_id = record["run"]["run_id"]
        try:
            self.folder.write(f"{run_id}.json", records.encode(record))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreFullError(
                f"the store {self} has no room for the record of {run_id} ({error.strerror}); free some and start the "
                "same again: a run goes on from its last checkpoint"
            ) from error

    def read(self, run_id: str) -> dict[str, Any]:
        """The record of one run."""
        try:
            return records.decode(self.folder.read(f"{run_id}.json"), f"{self}/{run_id}.json")
        except FileNotFoundError:
            raise InputError(f"the store {self} has no run {run_id!r}") from None

    def contents(self) -> Contents:
        """All records; those that cannot be read do not keep the others from being used."""
        found = Contents()
        names = [name for name in self.folder.names() if name.endswith(".json")]
        for name, content in self.folder.read_all(names).items():
            try:
                if isinstance(content, Exception):
                    raise InputError(f"{self}/{name} cannot be read: {content}")
                record = records.decode(content, f"{self}/{name}")
                found.records[record["run"]["run_id"]] = record
            except InputError as error:
                found.unreadable[name] = str(error)
        return found

    def records(self) -> list[dict[str, Any]]:
        """All records that can be read, by run id.

        Raises
        ------
        InputError
            There is no such store.
        """
        if not self.folder.exists():
            raise InputError(f"{self} is not a store: no such folder")
        return list(self.contents().records.values())

    def done(self) -> set[str]:
        """Ids of the runs that need no training."""
        found = self.contents().records
        return {run_id for run_id, record in found.items() if record["status"] in records.SETTLED}

    def is_done(self, run_id: str) -> bool:
        """Whether a run needs no training; a record that cannot be read tells nothing, and the run is trained again."""
        try:
            return self.read(run_id)["status"] in records.SETTLED
        except InputError:
            return False

    def set_aside(self, run_id: str) -> None:
        """Take a record out of the way, so that its run is trained again; it stays in the folder ``replaced``."""
        content = self.folder.read(f"{run_id}.json")
        number = 1
        while not self.folder.create(f"replaced/{run_id}-{number}.json", content):
            number += 1
        self.folder.delete(f"{run_id}.json")
