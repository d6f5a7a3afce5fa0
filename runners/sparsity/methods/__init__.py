"""Which weights are worth keeping, one method a file; a new one is one new file in this folder."""

from runners.registry import load_parts
from runners.sparsity.methods.base import METHODS, Method
from runners.sparsity.methods.magnitude import Magnitude

__all__ = ["Magnitude", "Method", "get", "names", "register"]

register, get, names = METHODS.register, METHODS.get, METHODS.names
load_parts(__name__, __path__)
