"""Shapes of transformers, and the solver that gives a shape a wanted number of non-zero block weights."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bayes_scaling.runs import InputError

__all__ = ["ACTIVATIONS", "SCALINGS", "Shape", "solve_shape"]

ACTIVATIONS = {"gelu": 2, "swiglu": 3}
"""MLPs by name, with the number of their matrices."""

SCALINGS = ("width", "depth")

TOLERANCES = (0.001, 0.01, 0.02)
"""How far off the target a shape may be: any within the first is preferred to others; beyond the last none will do."""

ODD = 3.0
"""An MLP that is more than so many times wider or narrower than usual is a last resort."""


@dataclass(frozen=True)
class Shape:
    """Everything that fixes the number of block weights.

    Attributes
    ----------
    layers : int
        Number of blocks.
    width : int
        Model width, a multiple of the head size. Rules for the learning rate go by it.
    mlp_width : int
        Hidden width of the MLP.
    head_size : int
        Width of an attention head, even.
    activation : str
        ``gelu``, or ``swiglu`` (arXiv:2002.05202), which has a third matrix, the gate.
    """

    layers: int
    width: int
    mlp_width: int
    head_size: int = 8
    activation: str = "gelu"

    def __post_init__(self) -> None:
        for name in ("layers", "width", "mlp_width"):
            _check_whole(name, getattr(self, name))
        _check_parts(self.head_size, self.activation)
        if self.width % self.head_size:
            raise InputError(f"width is {self.width}; a multiple of head_size, {self.head_size}, is needed")

    @property
    def block_weights(self) -> int:
        """Prunable weights: the matrices of all blocks, zeros included."""
        return self.layers * (4 * self.width**2 + ACTIVATIONS[self.activation] * self.width * self.mlp_width)

    @property
    def proportion(self) -> float:
        """MLP width over the usual one: 4 x width, and with a gate 8/3 x width, which has as many weights."""
        return self.mlp_width * ACTIVATIONS[self.activation] / (8 * self.width)


def solve_shape(
    nonzero_params: int,
    sparsity: float,
    *,
    scaling: str = "width",
    layers: int = 2,
    width: int | None = None,
    head_size: int = 8,
    activation: str = "gelu",
    multiple_of: int = 4,
) -> Shape:
    """The shape whose block weights times (1 - sparsity) come nearest to `nonzero_params`.

    Parameters
    ----------
    nonzero_params : int
        Wanted non-zero block weights at the end of training.
    sparsity : float
        Final sparsity of the block weights, in [0, 1).
    scaling : str
        ``width``: fixed depth, as in arXiv:2309.08520; ``depth``: fixed width. The MLP's width takes up the rest.
    layers : int
        Number of blocks, for scaling by width.
    width : int, optional
        Model width, for scaling by depth.
    head_size : int
        Even; the model width is a multiple of it.
    activation : str
        ``gelu`` or ``swiglu``.
    multiple_of : int
        Model and MLP width are multiples of it, so that n:m groups and blocks of weights fit every matrix.

    Returns
    -------
    Shape
        Among shapes within .1 % of the target (else within 1 %, else within 2 %; at fixed width at once within 1 %)
        the one whose MLP is most nearly as wide as usual, see `Shape.proportion`. An MLP more than three times too wide
        or too narrow is taken only where nothing else comes within 2 %.

    Raises
    ------
    InputError
        No shape comes within 2 %; the sentence names the nearest. Or an argument cannot be meant.
    """
    _check_whole("nonzero_params", nonzero_params)
    _check_whole("multiple_of", multiple_of)
    _check_parts(head_size, activation)
    if not 0 <= sparsity < 1:
        raise InputError(f"sparsity is {sparsity!r}; a fraction in [0, 1) is needed")
    target = nonzero_params / (1 - sparsity)
    step = math.lcm(head_size, multiple_of)  # model widths are inputs too, so groups must fit them
    tolerances: tuple[float, ...] = TOLERANCES
    if scaling == "width":
        if width is not None:
            raise InputError(f"width is {width}, but scaling 'width' solves for it; scaling 'depth' keeps it fixed")
        _check_whole("layers", layers)
        fixed = f"layers = {layers}"
        sizes = ((layers, w) for w in range(step, math.isqrt(int(target / (4 * layers))) + step, step))
        least = Shape(layers, step, multiple_of, head_size, activation)
    elif scaling == "depth":
        if width is None:
            raise InputError("scaling 'depth' needs a width, which stays fixed")
        if not isinstance(width, int) or width < 1 or width % step:
            raise InputError(f"width is {width!r}; a multiple of {step} is needed (head_size and multiple_of)")
        fixed = f"width = {width}"
        sizes = ((n, width) for n in range(1, int(target / (4 * width**2)) + 1))
        tolerances = TOLERANCES[1:]  # of few depths none may be nearer with an MLP of about the usual width
        least = Shape(1, width, multiple_of, head_size, activation)
    else:
        raise InputError(f"scaling is {scaling!r}; allowed are {', '.join(map(repr, SCALINGS))}")

    def miss(shape: Shape) -> float:
        return abs(shape.block_weights / target - 1)

    def preference(shape: Shape) -> tuple[bool, bool, int, float]:
        tier = sum(miss(shape) > tolerance for tolerance in tolerances)
        if tier == len(tolerances):
            return True, True, tier, miss(shape)
        odd = abs(math.log(shape.proportion)) > math.log(ODD)
        return False, odd, tier, abs(math.log(shape.proportion))

    best = min([least, *_near(sizes, target, head_size, activation, multiple_of)], key=preference)
    if miss(best) > TOLERANCES[-1]:
        raise InputError(
            f"no transformer with {fixed}, head_size = {head_size} and widths that are multiples of {multiple_of} has "
            f"within {100 * TOLERANCES[-1]:g} % of {nonzero_params} non-zero block weights at sparsity {sparsity:g}; "
            f"the nearest has {best.block_weights * (1 - sparsity):.0f} (layers = {best.layers}, width = {best.width}, "
            f"MLP width = {best.mlp_width})"
        )
    return best


def _near(
    sizes: Iterator[tuple[int, int]], target: float, head_size: int, activation: str, multiple_of: int
) -> Iterator[Shape]:
    """For each depth and width, the MLP widths just below and above what hits the target."""
    for layers, width in sizes:
        wanted = (target / layers - 4 * width**2) / (ACTIVATIONS[activation] * width)
        for groups in sorted({math.floor(wanted / multiple_of), math.ceil(wanted / multiple_of)}):
            if groups >= 1:
                yield Shape(layers, width, groups * multiple_of, head_size, activation)


def _check_whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} is {value!r}; a whole number of at least 1 is needed")


def _check_parts(head_size: object, activation: str) -> None:
    if not isinstance(head_size, int) or head_size < 2 or head_size % 2:
        raise InputError(f"head_size is {head_size!r}; an even number of at least 2 is needed")
    if activation not in ACTIVATIONS:
        raise InputError(f"activation is {activation!r}; allowed are {', '.join(map(repr, ACTIVATIONS))}")
