"""Machine code of a model's log density and gradient, compiled once and kept on disk.

PyTensor turns the model into numba code and caches that; what samplers call is a C function around it, which nutpie
compiles anew in every process for a quarter of a minute. Here that function is written to a small module of its own,
so that numba caches it too, and takes all data through one table of addresses, so that it serves any runs with the
same numbers of modalities and cells. For the laws of this package a later process then needs neither the model nor
PyMC.

The function works in coordinates z with x = centre + root @ z, where x are the model's unconstrained variables.
"""

import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import sys
import tempfile
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.design import Design
from bayes_scaling.laws.base import Law, Pooled, Prior

__all__ = ["Compiled", "Density", "compiled_graph", "compiled_model", "split"]

_KNOWN: dict[str, "Compiled"] = {}
"""What this process has compiled or loaded."""

_SOURCES = ("model.py", "independent.py", "hierarchy.py", "noise.py", "inputs.py", "compiled.py", "laws/base.py")
"""Files of this package that decide what the code of a model is, beside the law's own."""


@dataclass(frozen=True)
class Compiled:
    """A model's machine code, for all data of one shape class.

    Attributes
    ----------
    density, expand : numba CFunc
        Log density with gradient; the model's variables from a point.
    names : tuple of str
        The model's variables, in the order of `expand`.
    shapes : tuple of tuple of int
        Their shapes.
    start : tuple of float
        The model's initial point, where searches may begin; as long as there are unconstrained coordinates.
    inputs : tuple of (str, str, int)
        Name, type and rank of each array of data, in the order that the code reads them.
    """

    density: Any
    expand: Any
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    start: tuple[float, ...]
    inputs: tuple[tuple[str, str, int], ...]

    @property
    def dim(self) -> int:
        """Number of unconstrained coordinates."""
        return len(self.start)

    @property
    def expanded(self) -> int:
        """Numbers that the model's variables hold together."""
        return sum(int(np.prod(shape)) for shape in self.shapes)


def compiled_model(law: Law, design: Design, build: Callable[[], Any]) -> Compiled:
    """The machine code of a law's model for designs like this one.

    Parameters
    ----------
    law : Law
    design : Design
        Its numbers of modalities and cells matter, its runs do not.
    build : callable
        Makes the ``pymc.Model`` where no code for it is known yet.
    """
    further = tuple(name for name in law.reads if name in design.runs)
    shape = (len(design.modality), len(design.cells), design.pretrained, *further)
    key = _digest(type(law).__module__, type(law).__qualname__, repr(_kinds(law)), repr(shape))
    if key not in _KNOWN:
        # The source of a law from elsewhere may lean on anything: its code is looked up by its graph instead.
        shipped = type(law).__module__.startswith("bayes_scaling.")
        name = "m" + _digest(key, _sources(law), _platform())[:32] if shipped else None
        stored = _load(name) if name else None
        _KNOWN[key] = stored or _compile(build(), name)
    return _KNOWN[key]


def compiled_graph(model: Any) -> Compiled:
    """The machine code of any model, looked up by its graph.

    Parameters
    ----------
    model : pymc.Model
        With data in ``pm.Data``, over the dimension ``run`` where they may differ in number.
    """
    return _compile(model, None)


def _kinds(law: Law) -> dict[str, Prior]:
    """The law's priors without the numbers that are data of its model."""
    return {
        name: replace(prior, center=0.5, sd=1.0, spread=1.0) if isinstance(prior, Pooled) else prior
        for name, prior in law.priors.items()
    }


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _sources(law: Law) -> str:
    package = Path(__file__).parent
    own = Path(sys.modules[type(law).__module__].__file__ or "")
    laws = sorted((package / "laws").glob("*.py"))  # one law may build on another
    return _digest(*[path.read_text() for path in [*(package / name for name in _SOURCES), own, *laws]])


def _platform() -> str:
    versions = [metadata.version(name) for name in ("pymc", "pytensor", "numba", "llvmlite", "numpy")]
    return " ".join([platform.python_version(), platform.machine(), *versions])


def _folder() -> Path:
    """Where compiled code is kept; a folder for this process alone where no other can be written."""
    import pooch

    folder = Path(os.environ.get("BAYES_SCALING_CACHE", pooch.os_cache("bayes-scaling"))) / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(tempfile.mkdtemp(prefix="bayes-scaling-"))


def _load(name: str) -> Compiled | None:
    """Code that an earlier process compiled."""
    about = _folder() / f"{name}.json"
    if not about.is_file():
        return None
    return _compiled(json.loads(about.read_text()), name, about.parent, {})


def _compiled(about: Mapping[str, Any], name: str, folder: Path, inner: Mapping[str, Any]) -> Compiled:
    """The C functions of a module of wrappers, from numba's cache where they are there."""
    spec = importlib.util.spec_from_file_location(f"bayes_scaling_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # What numba loads names the modules that its functions came from; PyTensor's functions come from none.
    sys.modules[spec.name] = module
    sys.modules.setdefault("<dynamic>", types.ModuleType("<dynamic>"))
    vars(module).update(inner)
    return Compiled(
        density=module.compile_density(),
        expand=module.compile_expand(),
        names=tuple(about["names"]),
        shapes=tuple(tuple(shape) for shape in about["shapes"]),
        start=tuple(about["start"]),
        inputs=tuple((n, t, r) for n, t, r in about["inputs"]),
    )


def _compile(model: Any, name: str | None) -> Compiled:
    """Compile a model and keep what was compiled."""
    about, density, expand = _functions(model)
    if name is None:
        from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS

        # A graph that PyTensor has no key for is known to this process alone.
        graphs = [CACHED_SRC_FUNCTIONS.get(f.py_func) or os.urandom(16).hex() for f in (density, expand)]
        name = "g" + _digest(*graphs, json.dumps(about), _platform())[:32]
    folder = _folder()
    _write(folder / f"{name}.py", _wrappers(about))
    made = _compiled(about, name, folder, {"inner_density": density, "inner_expand": expand})
    _write(folder / f"{name}.json", json.dumps(about))  # last, since it says that the rest is there
    return made


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; numba goes by its time, so the same text is not written again."""
    if path.is_file() and path.read_text() == text:
        return
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    os.replace(part, path)


def _functions(model: Any) -> tuple[dict[str, Any], Any, Any]:
    """What the wrappers need to know, and numba's functions for log density with gradient and for the variables."""
    import pytensor.tensor as pt
    from pymc.model.transform.optimization import freeze_dims_and_data
    from pymc.pytensorf import compile as compile_graph
    from pytensor.graph.replace import clone_replace
    from pytensor.graph.rewriting.utils import rewrite_graph

    model = freeze_dims_and_data(model, dims=[name for name in model.coords if name != "run"], data=[])
    free = model.free_RVs
    values = [model.rvs_to_values[variable] for variable in free]
    start = model.initial_point()
    shapes = [start[value.name].shape for value in values]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    dim = int(ends[-1])
    point = pt.tensor("point", dtype="float64", shape=(dim,))
    at = {
        value: point[end - int(np.prod(shape)) : end].reshape(shape)
        for value, shape, end in zip(values, shapes, ends.tolist(), strict=True)
    }
    # Simplified first, so that gradients are taken of what is left.
    rewrites = ("canonicalize", "stabilize", "local_remove_check_parameter")
    log_density: Any = rewrite_graph(model.logp(), include=rewrites)
    parts: Any = pt.grad(log_density, values)
    gradient = pt.concatenate([part.ravel() for part in parts])
    known = {variable.name: variable for variable in model.unobserved_value_vars}
    variables = [known[variable.name] for variable in free]
    density = compile_graph([point], clone_replace([log_density, gradient], at), mode="NUMBA")
    expand = compile_graph([point], clone_replace([pt.concatenate([v.ravel() for v in variables])], at), mode="NUMBA")
    shared = {
        which: [(v.name, str(v.get_value(borrow=True).dtype), v.get_value(borrow=True).ndim) for v in f.get_shared()]
        for which, f in (("density", density), ("expand", expand))
    }
    about = {
        "start": np.concatenate([start[value.name].ravel() for value in values]).tolist(),
        "names": [variable.name for variable in free],
        "shapes": [[int(n) for n in v.shape.eval()] for v in free],
        "inputs": list(dict.fromkeys(shared["density"] + shared["expand"])),
        "density": [n for n, _, _ in shared["density"]],
        "expand": [n for n, _, _ in shared["expand"]],
    }
    return about, density.vm.jit_fn, expand.vm.jit_fn


_WRAPPERS = '''"""Generated: C functions around a model's log density, for data given by their addresses."""

import numba
import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

DENSITY = types.int64(types.uint64, *[types.CPointer(types.double)] * 3, types.voidptr)
EXPAND = types.int64(types.uint64, types.uint64, *[types.CPointer(types.double)] * 2, types.voidptr)


@intrinsic
def pointer(context, address):
    def generate(codegen, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


def density(dim, z_, gradient_, value_, table_):
    table = carray(table_, ({table},), np.int64)
    centre = carray(pointer(table[0]), ({dim},), np.float64)
    root = carray(pointer(table[1]), ({dim}, {dim}), np.float64)
{arrays}
    z = carray(z_, ({dim},))
    point = centre + np.dot(root, z)
    try:
        value, inner = inner_density(*({density}))
    except Exception:
        return 1
    gradient = carray(gradient_, ({dim},))
    gradient[:] = np.dot(inner, root)
    carray(value_, (1,))[0] = value
    if not np.isfinite(value):
        return 4
    return 0 if np.all(np.isfinite(gradient)) else 3


def expand(dim, expanded, z_, out_, table_):
    table = carray(table_, ({table},), np.int64)
    centre = carray(pointer(table[0]), ({dim},), np.float64)
    root = carray(pointer(table[1]), ({dim}, {dim}), np.float64)
{arrays}
    z = carray(z_, ({dim},))
    point = centre + np.dot(root, z)
    try:
        (values,) = inner_expand(*({expand}))
    except Exception:
        return 1
    carray(out_, ({expanded},))[:] = values
    return 0


def compile_density():
    return numba.cfunc(DENSITY, cache=True)(density)


def compile_expand():
    return numba.cfunc(EXPAND, cache=True)(expand)
'''


def _wrappers(about: Mapping[str, Any]) -> str:
    """Source of the module of C functions."""
    lines, row, argument = [], 2, {}
    for i, (name, kind, rank) in enumerate(about["inputs"]):
        shape = "".join(f"table[{row + 1 + axis}], " for axis in range(rank))
        lines.append(f"    a{i} = carray(pointer(table[{row}]), ({shape}), np.{kind})")
        argument[name] = f"a{i}"
        row += 1 + rank
    return _WRAPPERS.format(
        table=row,
        dim=len(about["start"]),
        expanded=sum(int(np.prod(shape)) for shape in about["shapes"]),
        arrays="\n".join(lines),
        density=_tuple([argument[name] for name in about["density"]]),
        expand=_tuple([argument[name] for name in about["expand"]]),
    )


def _tuple(arguments: Sequence[str]) -> str:
    """Source of a tuple of a function's point and data. Python makes one of more than 30 in a way that numba lacks."""
    return " + ".join(["(point,)", *(f"({', '.join(arguments[i : i + 20])},)" for i in range(0, len(arguments), 20))])


class Density:
    """A model's log density for some data, in coordinates z with x = centre + root @ z.

    Parameters
    ----------
    code : Compiled
    data : dict of ndarray
        All arrays that the code reads.
    centre : ndarray, shape (dim,), optional
        Zero unless given.
    root : ndarray, shape (dim, dim), optional
        The identity unless given.
    """

    def __init__(
        self,
        code: Compiled,
        data: Mapping[str, np.ndarray],
        centre: np.ndarray | None = None,
        root: np.ndarray | None = None,
    ) -> None:
        self.code = code
        self.data = data
        self.centre = np.zeros(code.dim) if centre is None else np.ascontiguousarray(centre, dtype=float)
        self.root = np.eye(code.dim) if root is None else np.ascontiguousarray(root, dtype=float)
        # The code holds addresses only, so the arrays are kept here.
        self._arrays = [np.ascontiguousarray(data[name], dtype=kind) for name, kind, _ in code.inputs]
        numbers = [self.centre.ctypes.data, self.root.ctypes.data]
        for array in self._arrays:
            numbers += [array.ctypes.data, *array.shape]
        self.table = np.array(numbers, dtype=np.int64)
        self._density = code.density.ctypes
        self._expand = code.expand.ctypes

    def moved(self, centre: np.ndarray, root: np.ndarray) -> "Density":
        """The same density in other coordinates."""
        return Density(self.code, self.data, centre, root)

    def __call__(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and gradient at a point; minus infinity where it cannot be evaluated."""
        z = np.ascontiguousarray(z, dtype=float)
        gradient, value = np.empty(self.code.dim), np.empty(1)
        status = self._density(self.code.dim, _at(z), _at(gradient), _at(value), self.table.ctypes.data)
        return (float(value[0]), gradient) if status == 0 else (-np.inf, np.zeros(self.code.dim))

    def variables(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """The model's variables at points of shape (…, dim)."""
        flat = np.ascontiguousarray(z, dtype=float).reshape(-1, self.code.dim)
        out = np.empty((len(flat), self.code.expanded))
        for row, values in zip(flat, out, strict=True):
            self._expand(self.code.dim, self.code.expanded, _at(row), _at(values), self.table.ctypes.data)
        return split(self.code, out.reshape(*z.shape[:-1], -1))


def split(code: Compiled, values: np.ndarray) -> dict[str, np.ndarray]:
    """Variables by name from their numbers in one row, shape (…, expanded)."""
    ends = np.cumsum([int(np.prod(shape)) for shape in code.shapes]).tolist()
    return {
        name: values[..., end - int(np.prod(shape)) : end].reshape(*values.shape[:-1], *shape)
        for name, shape, end in zip(code.names, code.shapes, ends, strict=True)
    }


def _at(array: np.ndarray) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
