"""Checkpoints: what a stopped run needs to go on bit by bit, and trained models that other runs start from.

They are written whole or not at all, hold tensors, numbers and text only, and are loaded with ``weights_only=True``.
"""

import io
import pickle
import struct
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from bayes_scaling.runs import InputError
from runners.folder import Folder
from runners.parallel import ONE, Ranks

__all__ = ["copied", "decode", "encode", "load", "save"]

FORMAT = 1

UNREADABLE = (RuntimeError, EOFError, OSError, ValueError, BadZipFile, struct.error, pickle.UnpicklingError)
"""What torch raises for files that are cut short or hold something else."""


def encode(content: dict[str, Any]) -> bytes:
    """A checkpoint as the content of its file.

    Parameters
    ----------
    content : dict
        Tensors, numbers, text, and lists and dicts of these.
    """
    file = io.BytesIO()
    torch.save({"format": FORMAT, **content}, file)
    return file.getvalue()


def copied(content: Any, ranks: Ranks = ONE) -> Any:
    """The same, whole, with tensors of their own: of a view, torch would write all the memory that it is a view of.

    Parameters
    ----------
    content : any
        Tensors in dicts; anything else stays as it is.
    ranks : Ranks
        The processes that have a part of it; the first of them gets the tensors.
    """
    if isinstance(content, torch.Tensor):
        return ranks.copy(content)
    if isinstance(content, dict):
        return {key: copied(value, ranks) for key, value in content.items()}
    return content


def decode(content: bytes, place: str, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A checkpoint from the content of its file.

    Parameters
    ----------
    content : bytes
        What `encode` made.
    place : str
        What messages call it.
    device : torch.device or str
        Where its tensors go.

    Raises
    ------
    InputError
        It was cut short, or it holds something else.
    """
    try:
        found = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except UNREADABLE as error:
        raise InputError(
            f"the checkpoint {place} cannot be read ({len(content)} bytes: cut short, or no checkpoint of these "
            "runners); delete it to train anew"
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{place} is no checkpoint of format {FORMAT} of these runners")
    return found


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint to a file, whose folder is made if it does not exist."""
    Folder(path.parent).write(path.name, encode(content))


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint from a file.

    Raises
    ------
    InputError
        There is no such file, it was cut short, or it holds something else.
    """
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}")
    return decode(path.read_bytes(), str(path), device)
