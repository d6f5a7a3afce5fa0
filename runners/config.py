"""All knobs of a run, their defaults, and the checks that come before any training."""

import functools
import hashlib
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path

from bayes_scaling.runs import InputError
from runners import models
from runners.data.load import MODALITIES
from runners.mixtures import Mixture, mixture_of
from runners.models.shapes import Shape
from runners.mup import PARAMETRIZATIONS, check_parametrization
from runners.rates import DECAYS, RULES, tuned_learning_rate
from runners.semi_structured import KERNELS, check_kernels
from runners.sparsity import distributions, structures
from runners.sparsity.distributions import Distribution
from runners.sparsity.knobs import METHOD_KNOBS, method_of, schedule_of
from runners.sparsity.methods import Method
from runners.sparsity.schedules import Schedule

__all__ = ["RunConfig"]

DEVICES = ("auto", "cpu", "cuda", "mps")
EMBEDDING_RULES = ("sqrt", "none")
PRECISIONS = ("auto", "float32", "bfloat16")
FAMILY_OF = {"language": "decoder", "vision": "vit"}
CORPUS_OF = {"language": "stdlib", "vision": "photographs"}


@dataclass(frozen=True)
class RunConfig:
    """One training run.

    Parameters
    ----------
    nonzero_params : int
        Non-zero block weights wanted at the end; the model is as large as that takes at this sparsity.
    data_seen : int
        Tokens or examples to train on, repeats counted; rounded to whole steps.
    sparsity : float
        Final fraction of zeros among the block weights, in [0, 1).
    structure : str
        ``unstructured``, a pattern n:m, or ``block:RxC``; at sparsity 0 it becomes ``dense``.
    seed : int
        Of the initial weights and of the order of the data.
    modality : str
        ``language`` or ``vision``.
    model : str, optional
        Family of models; by default ``decoder`` for language and ``vit`` for vision.
    layers, width : int
        Fixed depth where size is scaled by width; fixed width where it is scaled by depth.
    scaling : str
        ``width`` or ``depth``.
    head_size : int
        Width of an attention head.
    multiple_of : int
        What model and MLP width are multiples of, besides what a pattern n:m asks for.
    activation : str
        ``gelu`` or ``swiglu``.
    context : int
        Text: tokens per window.
    image_size, patch_size : int
        Images: side of an image and of a patch, in pixels.
    corpus, suffix, tokenizer, column, limit, task, flips
        Of the data; as `runners.data.load_batches` has them. By default Python's own source text, and photographs.
    mixture : mapping of str to float, optional
        Text: several corpora and their weights in place of `corpus`, as `runners.mixtures.mixture_of` takes them; it is
        kept as pairs by name.
    heldout_items : int
        Held-out windows or examples that the loss is the mean over, the same for all runs; 0 means all. So many of
        each corpus of a mixture.
    unique_data : int
        Text: most distinct tokens to train on, the first ones of the corpus, whatever the seed, so that smaller sets
        are parts of larger ones; 0 means all. Held-out data stays as it is.
    evaluate_every : int
        Steps between held-out losses along the run; 0 takes one at the end only.
    patience : int
        Held-out losses in a row without a better one after which a run ends; it is then reported, and its model kept,
        as it was when it was best. 0 goes on to the end and reports that.
    target_loss : float, optional
        Held-out loss at which a run ends.
    batch_size : int
        Windows or examples per step.
    learning_rate : float, optional
        Peak of the schedule; by default that of `rate_rule`.
    rate_rule : str
        ``density`` is tuned over width and final density; ``width`` is an earlier rule that the shipped sweep has.
    parametrization : str
        ``standard``; or ``mup`` or ``smupar``, under which rates and initial weights of matrices go by their inputs or
        by those in use (`runners.mup`). `learning_rate` is then that of a dense model of `base_width`, and by default
        what `rate_rule` has for it.
    base_width : int
        Of a model on which these change nothing.
    warmup : float
        Fraction of the steps with a linear warm-up.
    decay : str
        What follows: ``cosine``, or ``wsd``, which stays at the peak and falls linearly at the end.
    cooldown : float
        ``wsd``: fraction of the steps in which the rate falls.
    final_learning_rate : float
        Where the decay ends, as a fraction of the peak.
    weight_decay, beta1, beta2, clip : float
        AdamW's knobs (no decay on norms) and the largest gradient norm.
    dropout : float
        Share of what attention and MLP add to the residual stream that is dropped in training, in [0, 1).
    input_noise : float
        On training inputs. Text: the share of tokens replaced by random ones, in [0, 1). Images: the standard deviation
        of normal noise, where that of the pixels is 1.
    landscape : bool
        Whether the record has the spectra of all matrices before and after training (`runners.landscape`).
    method, distribution, schedule : str
        Which weights go, how many from each tensor, and when; see ``docs/sparsity.md``.
    power : float
        Of Powerpropagation, at least 1; 1 is off.
    update_every : int
        ``set`` and ``rigl``: steps between moves of connections.
    update_end : float
        ``set`` and ``rigl``: fraction of training at which moves end.
    update_fraction : float
        ``set`` and ``rigl``: share of the connections that moves at first; it falls to 0 along half a cosine.
    srste_decay : float
        ``srste``: pull of removed weights to zero, in [0, 1).
    snip_batches : int
        ``snip``: batches whose gradients are summed up, at most an epoch or as many as the run has; 0 means all these.
    pst_rank : int
        ``pst``: rank of what is trained for each matrix.
    prune_start, prune_end : float
        Where in training the schedule starts and ends, as fractions; ``one_shot`` prunes at `prune_start`.
    prune_power : float
        Of the polynomial schedule; 3 is cubic.
    prune_every : int
        Steps between recomputed masks.
    embedding_sparsity : str
        ``sqrt`` prunes embedding and output layer to 1 - sqrt(1 - sparsity), which leaves them about as many
        non-zeros as the dense model of the same N has; ``none`` leaves them dense.
    pretrained : str, optional
        Trained dense model (`runners.train.run` keeps it on request) that training starts from: a file, or
        ``run:RUN_ID`` for the model of another run in the same store. It may have been trained on another corpus, with
        the same tokenizer. The run's strategy is then ``pretrained``. Runs
        are told apart by the file's name, not by its folder.
    device : str
        ``auto`` takes CUDA, then MPS, then the CPU.
    precision : str
        ``auto`` is bfloat16 autocast on CUDA and float32 elsewhere.
    compiled : bool, optional
        Whether `torch.compile` is used; by default on CUDA only.
    kernels : str
        What multiplies the finished model's blocks when its held-out loss is taken: ``dense``, or on CUDA ``2:4``.
    threads : int
        CPU threads of this run.

    Raises
    ------
    InputError
        A knob is out of its bounds, a name is unknown, or knobs do not go together.
    """

    nonzero_params: int = 6144
    data_seen: int = 2**20
    sparsity: float = 0.0
    structure: str = "unstructured"
    seed: int = 0
    modality: str = "language"
    model: str | None = None
    layers: int = 2
    width: int | None = None
    scaling: str = "width"
    head_size: int = 8
    multiple_of: int = 4
    activation: str = "gelu"
    context: int = 64
    image_size: int = 32
    patch_size: int = 4
    corpus: str | None = None
    mixture: Mixture | None = None
    suffix: str = ".py"
    tokenizer: str = "bytes"
    column: str | None = None
    limit: int = 0
    task: str | None = None
    flips: bool = False
    heldout_items: int = 8192
    unique_data: int = 0
    evaluate_every: int = 0
    patience: int = 0
    target_loss: float | None = None
    batch_size: int = 16
    learning_rate: float | None = None
    rate_rule: str = "density"
    parametrization: str = "standard"
    base_width: int = 32
    warmup: float = 0.1
    decay: str = "cosine"
    cooldown: float = 0.2
    final_learning_rate: float = 0.1
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    clip: float = 1.0
    dropout: float = 0.0
    input_noise: float = 0.0
    landscape: bool = False
    method: str = "magnitude"
    distribution: str = "uniform"
    schedule: str = "polynomial"
    power: float = 1.0
    update_every: int = 100
    update_end: float = 0.75
    update_fraction: float = 0.3
    srste_decay: float = 2e-4
    snip_batches: int = 0
    pst_rank: int = 8
    prune_start: float = 0.25
    prune_end: float = 0.75
    prune_power: float = 3.0
    prune_every: int = 10
    embedding_sparsity: str = "sqrt"
    pretrained: str | None = None
    device: str = "auto"
    precision: str = "auto"
    compiled: bool | None = None
    kernels: str = "dense"
    threads: int = 1

    def __post_init__(self) -> None:
        whole = ("nonzero_params", "data_seen", "layers", "context", "batch_size", "prune_every", "threads")
        least = dict.fromkeys((*whole, "multiple_of", "image_size", "patch_size", "update_every", "pst_rank"), 1)
        least |= dict.fromkeys(("seed", "heldout_items", "limit", "snip_batches"), 0)
        least |= dict.fromkeys(("unique_data", "evaluate_every", "patience"), 0) | {"base_width": 1}
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise InputError(f"{name} is {value!r}; a whole number of at least {smallest} is needed")
        if not 0 <= self.sparsity < 1:
            raise InputError(f"sparsity is {self.sparsity!r}; a fraction in [0, 1) is needed")
        for name, allowed in (
            ("modality", MODALITIES),
            ("device", DEVICES),
            ("precision", PRECISIONS),
            ("decay", DECAYS),
            ("rate_rule", tuple(RULES)),
            ("parametrization", PARAMETRIZATIONS),
            ("embedding_sparsity", EMBEDDING_RULES),
            ("kernels", KERNELS),
        ):
            if (value := getattr(self, name)) not in allowed:
                raise InputError(f"{name} is {value!r}; allowed are {', '.join(map(repr, allowed))}")
        # Defaults that hang on other knobs are resolved here, so that the hash tells what is in use.
        self._resolve("model", FAMILY_OF[self.modality])
        self._check_mixture()
        if (family := models.get(str(self.model))).modality != self.modality:
            raise InputError(f"model {self.model!r} is for {family.modality}, found modality {self.modality!r}")
        self._check_structure()
        suited = self.base_width, 1.0
        if self.parametrization == "standard":
            object.__setattr__(self, "base_width", DEFAULTS["base_width"])
            suited = self.shape.width, 1 - self.sparsity
        self._resolve("learning_rate", tuned_learning_rate(self.rate_rule, self.modality, *suited))
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)!r}; a number above 0 is needed")
        for name in ("warmup", "cooldown", "final_learning_rate", "weight_decay", "beta1", "beta2", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)!r}; a number in [0, 1) is needed")
        if not 0 <= self.input_noise < (1 if self.modality == "language" else math.inf):
            meant = "a share in [0, 1)" if self.modality == "language" else "a standard deviation of at least 0"
            raise InputError(f"input_noise is {self.input_noise!r}; {meant} is needed")
        if self.decay == "wsd" and self.warmup + self.cooldown > 1:
            raise InputError(
                f"warmup {self.warmup} and cooldown {self.cooldown} exceed the run; their sum is at most 1"
            )
        self._check_method()
        check_parametrization(self)
        check_kernels(self)
        self._check_ends()

    def _resolve(self, name: str, value: object) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _check_mixture(self) -> None:
        if self.mixture is None:
            self._resolve("corpus", CORPUS_OF[self.modality])
            return
        if self.modality != "language":
            raise InputError(f"mixture is of texts, found modality {self.modality!r}")
        if self.corpus is not None:
            raise InputError(f"corpus is {self.corpus!r} beside a mixture; one of the two is needed")
        object.__setattr__(self, "mixture", mixture_of(self.mixture))

    def _check_ends(self) -> None:
        """What a run may end by, and on how much data."""
        if self.unique_data and (self.modality != "language" or self.mixture is not None):
            of = "a mixture" if self.mixture is not None else f"modality {self.modality!r}"
            raise InputError(f"unique_data is {self.unique_data}, found {of}; it is of runs on one text")
        if self.target_loss is not None and not 0 < self.target_loss < math.inf:
            raise InputError(f"target_loss is {self.target_loss!r}; a number above 0 is needed")
        for name in ("patience", "target_loss"):
            if getattr(self, name) and not self.evaluate_every:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}, which goes by held-out losses along the run; evaluate_every "
                    "above 0 is needed"
                )

    def _check_method(self) -> None:
        """That the parts of sparse training go together; knobs that do nothing here make no other run of it."""
        if not 1 <= self.power < math.inf:
            raise InputError(f"power is {self.power!r}; a number of at least 1 is needed")
        # Getting the parts checks their own settings.
        method, schedule, _ = self.pruning_method, self.pruning_schedule, self.pruning_distribution
        used = {field.name for field in fields(method)} if self.sparsity > 0 else set()
        for setting, name in METHOD_KNOBS.items():
            if setting not in used:
                object.__setattr__(self, name, DEFAULTS[name])
        if self.sparsity == 0:
            object.__setattr__(self, "power", DEFAULTS["power"])
        else:
            method.check(schedule, structures.parse(self.structure), self.pretrained is not None, self.power)

    def _check_structure(self) -> None:
        if self.structure == "dense":
            if self.sparsity != 0:
                raise InputError(f"structure 'dense' goes with sparsity 0, found sparsity {self.sparsity}")
            return
        fixed = structures.parse(self.structure).fixed_sparsity
        if self.sparsity == 0:
            object.__setattr__(self, "structure", "dense")
        elif fixed is not None:
            if abs(fixed - self.sparsity) > structures.TOLERANCE:
                raise InputError(
                    f"structure {self.structure} means sparsity {fixed:g}, found sparsity {self.sparsity:g}"
                )
            object.__setattr__(self, "sparsity", fixed)  # a rounded one would miss the pattern by some weights

    @functools.cached_property
    def shape(self) -> Shape:
        """The architecture that hits `nonzero_params`."""
        multiple = 1 if self.structure == "dense" else structures.parse(self.structure).multiple
        return models.get(str(self.model)).solve(
            self.nonzero_params,
            self.sparsity,
            scaling=self.scaling,
            layers=self.layers,
            width=self.width,
            head_size=self.head_size,
            activation=self.activation,
            multiple_of=math.lcm(self.multiple_of, multiple),
        )

    @property
    def start(self) -> str | None:
        """Id of the run that this one starts from, where that is in the same store."""
        text = self.pretrained or ""
        return text.removeprefix("run:") if text.startswith("run:") else None

    @functools.cached_property
    def pruning_schedule(self) -> Schedule:
        """When weights go."""
        return schedule_of(self)

    @property
    def pruning_method(self) -> Method:
        """Which weights go."""
        return method_of(self)

    @property
    def pruning_distribution(self) -> Distribution:
        """How many weights of each tensor go."""
        return distributions.get(self.distribution)

    @property
    def units_per_step(self) -> int:
        """Tokens or examples of one step."""
        return self.batch_size * (self.context if self.modality == "language" else 1)

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return max(1, round(self.data_seen / self.units_per_step))

    @functools.cached_property
    def run_id(self) -> str:
        """Short name for people, and a hash of every knob that is not at its default.

        Knobs that come later leave the names of earlier runs alone, as long as their defaults change nothing.
        """
        knobs = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}
        if self.pretrained is not None:
            knobs["pretrained"] = Path(self.pretrained).name
        digest = hashlib.sha256(json.dumps(knobs, sort_keys=True).encode()).hexdigest()[:8]
        structure = self.structure.replace("block:", "block")  # the id is a file's name
        return f"n{self.nonzero_params}-d{self.data_seen}-{structure}-s{self.sparsity:g}-{self.seed}-{digest}"


DEFAULTS = {knob.name: knob.default for knob in fields(RunConfig)}
