"""Checkpoints: what a stopped run needs to go on bit by bit, and trained models that other runs start from.

A file is written beside its place, flushed to the disk and renamed, so that a reader sees all of it or nothing,
whenever the process is killed. Files hold tensors, numbers and text only and are loaded with ``weights_only=True``.
"""

import contextlib
import os
import pickle
import secrets
import struct
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from bayes_scaling.runs import InputError

__all__ = ["load", "save"]

FORMAT = 1

UNREADABLE = (RuntimeError, EOFError, OSError, ValueError, BadZipFile, struct.error, pickle.UnpicklingError)
"""What torch raises for files that are cut short or hold something else."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, all of it or nothing.

    Parameters
    ----------
    path : Path
        Its folder is made if it does not exist.
    content : dict
        Tensors, numbers, text, and lists and dicts of these.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            torch.save({"format": FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint.

    Parameters
    ----------
    path : Path
        What `save` wrote.
    device : torch.device or str
        Where its tensors go.

    Returns
    -------
    dict
        The content.

    Raises
    ------
    InputError
        There is no such file, it was cut short, or it holds something else.
    """
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}")
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except UNREADABLE as error:
        raise InputError(
            f"the checkpoint {path} cannot be read ({path.stat().st_size} bytes: cut short, or no checkpoint of these "
            "runners); delete it to train anew"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is no checkpoint of format {FORMAT} of these runners")
    return content
