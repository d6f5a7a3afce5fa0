"""How sparsity is shared out among tensors, one distribution a file; a new one is one new file in this folder."""

from runners.registry import load_parts
from runners.sparsity.distributions.base import DISTRIBUTIONS, Distribution
from runners.sparsity.distributions.uniform import Uniform

__all__ = ["Distribution", "Uniform", "get", "names", "register"]

register, get, names = DISTRIBUTIONS.register, DISTRIBUTIONS.get, DISTRIBUTIONS.names
load_parts(__name__, __path__)
