"""Contracts of plug-ins: what a feature set, a model and a dataset must have, and may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from benchmark.plugins.arms import LABELS, SUPERVISIONS, Arm
from benchmark.runtime.progress import Progress

if TYPE_CHECKING:  # so that a fit does not depend on them
    from benchmark.roi import Roi, RoiDataset

Value = dict[str, float] | NDArray[np.float32]
"""Features of one ROI: numbers by name, or an image."""

Extract = Callable[["Roi"], Value]
"""Computes the features of one ROI; picklable."""

Inputs = NDArray[Any] | Mapping[str, NDArray[Any]]
"""Input of a model, (n, p) or (n, [depth,] rows, columns, channels); several feature sets give a
mapping of their names to such arrays."""


def take(inputs: Inputs, rows: NDArray[np.intp]) -> Inputs:
    """Some rows of what a model is fed."""
    if isinstance(inputs, Mapping):
        return {name: values[rows] for name, values in inputs.items()}
    return np.asarray(inputs[rows])


@dataclass(frozen=True)
class Readings:
    """Readers' ratings of the training ROIs, in the order of the rows.

    Attributes
    ----------
    ratings : tuple of tuple of int
        Malignancy ratings of each ROI, 1 to 5, one a reader.
    attributes : tuple of mapping of str to str
        The dataset's further columns of each ROI, with readers' ratings of other characteristics.
    """

    ratings: tuple[tuple[int, ...], ...]
    attributes: tuple[Mapping[str, str], ...]


class Model(Protocol):
    """Model, as a file in models/ builds it.

    Attributes
    ----------
    threshold_ : float
        After ``fit``: the decision threshold on P(malignant), chosen on training patients.
    """

    threshold_: float

    def fit(self, X: Any, y: NDArray[np.int64], groups: NDArray[np.str_]) -> None:
        """Fit on ``Inputs`` and labels, shape (n,); groups are patients, shape (n,)."""

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of benign and malignant, shape (n, 2)."""


class LearnsFromReadings(Protocol):
    """A model whose module declares another supervision than labels."""

    threshold_: float

    def fit(
        self, X: Any, y: NDArray[np.int64], groups: NDArray[np.str_], *, readings: Readings
    ) -> None:
        """Fit as other models do, with the readings as well; ``y`` may hold ``NO_LABEL``."""

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of benign and malignant, shape (n, 2)."""


@runtime_checkable
class ReportsEpochs(Protocol):
    """A model that reports its epochs of training."""

    on_epoch: Callable[[int, int], None] | None
    history_: list[dict[str, float]]


@runtime_checkable
class ReportsChoices(Protocol):
    """A fitted model that reports the settings it chose on inner folds.

    One mapping a setting: ``setting`` (its name), ``value`` (as text), and ``edge``: ``lowest`` or
    ``highest`` where the chosen value ends a grid that could go on, else empty.
    """

    choices_: list[dict[str, str]]


@runtime_checkable
class NamesDevice(Protocol):
    """A fitted model that names the device it was trained on; others were trained on the CPU."""

    device_: str


Build = Callable[[Arm, int], Any]
"""Builds the model of an arm, a ``Model`` or ``LearnsFromReadings``, from a seed; picklable."""


FitTogether = Callable[
    [Sequence[Any], Sequence[tuple[Inputs, NDArray[np.int64], NDArray[np.str_]]]], None
]
"""Fits models, each to its (X, y, groups), as their ``fit`` would one by one."""

Pack = Callable[[Model], bytes]
"""Packs a fitted model into the bytes of a file."""


DEFAULT_PROFILE = "quick"


@dataclass(frozen=True)
class Hook:
    """A name that a plug-in's module must or may have.

    Attributes
    ----------
    name : str
    rule : str
        The requirement, in words that follow "it must be".
    fits : callable
        Returns True for a value of that kind.
    """

    name: str
    rule: str
    fits: Callable[[object], bool]


def hook(name: str, rule: str, fits: Callable[[object], bool]) -> Mapping[str, Hook]:
    """Metadata of a dataclass field that is read from a module."""
    return {"hook": Hook(name, rule, fits)}


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_names(value: object) -> bool:
    return _is_name(value) or (isinstance(value, tuple) and all(map(_is_name, value)))


def _is_supervision(value: object) -> bool:
    return value in SUPERVISIONS


def _is_suffixes(value: object) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(each, str) and each.startswith(".") for each in value
    )


@dataclass(frozen=True)
class FeatureSet:
    """A file in features/, or one with a mask modifier.

    Attributes
    ----------
    name : str
    extract : callable
        ``extract(roi)`` gives a dict of numbers with the same names for every ROI, or an image,
        an array of float32; picklable and hashable.
    planar : str
        ``PLANAR``: the feature set that takes its place in a run whose ROIs are all one slice
        thick; empty where there is none.
    mask_modifiers : bool
        ``MASK_MODIFIERS``: its features follow the ROI's mask, so it may be given another mask
        (``benchmark.plugins.modifiers``).
    """

    name: str
    extract: Extract = field(metadata=hook("extract", "a function, extract(roi)", callable))
    planar: str = field(
        default="", metadata=hook("PLANAR", "the name of another feature set", _is_name)
    )
    mask_modifiers: bool = field(
        default=False,
        metadata=hook("MASK_MODIFIERS", "True or False", lambda value: isinstance(value, bool)),
    )


@dataclass(frozen=True)
class ModelPlugin:
    """A file in models/.

    Attributes
    ----------
    name : str
    features : str
        ``FEATURES``: its features where a run names no others, as in :class:`Arm`. A tuple of
        names stands for several feature sets.
    build : callable
        ``build(seed, *, jobs, ...)`` gives a :class:`Model` that is not fitted. Its further
        arguments, with types and defaults, are the model's settings.
    supervision : {"labels", "ratings", "ratings+left_out"}
        ``SUPERVISION``: what it learns from; with all but the first, ``fit`` takes ``readings``.
    device : callable, optional
        ``device()`` names what it would train on, ``cpu`` or a GPU; only models that can use a
        GPU have it.
    fit_together : callable, optional
        Trains several of its models as one program.
    unavailable : callable, optional
        ``unavailable(settings)`` says why a model with these settings cannot be built here, as for
        want of a file, and what helps; an empty string where it can. Its arms are then skipped.
    """

    name: str
    features: str = field(
        metadata=hook("FEATURES", "the name of a feature set, or a tuple of names", _is_names)
    )
    build: Callable[..., Any] = field(
        metadata=hook("build", "a function, build(seed, *, jobs=1, ...)", callable)
    )
    supervision: str = field(
        default=LABELS,
        metadata=hook("SUPERVISION", f"one of {', '.join(SUPERVISIONS)}", _is_supervision),
    )
    device: Callable[[], str] | None = field(
        default=None, metadata=hook("device", "a function without arguments", callable)
    )
    fit_together: FitTogether | None = field(
        default=None,
        metadata=hook("fit_together", "a function, fit_together(models, data)", callable),
    )
    unavailable: Callable[[Mapping[str, Any]], str] | None = field(
        default=None, metadata=hook("unavailable", "a function, unavailable(settings)", callable)
    )

    def __post_init__(self) -> None:
        if not isinstance(self.features, str):
            object.__setattr__(self, "features", "+".join(self.features))


@dataclass(frozen=True)
class DatasetPlugin:
    """A file in benchmark/datasets/ that is opened by its name.

    Attributes
    ----------
    name : str
    open_dataset : callable
        ``open_dataset(jobs, progress)`` opens it.
    open_file : callable, optional
        ``open_file(path)`` opens a file with one of ``suffixes``.
    suffixes : tuple of str
        ``SUFFIXES``: endings of the files that it opens, as ``.npz``.
    profile : str
        ``PROFILE``: the profile where the user names none.

    Raises
    ------
    ValueError
        For ``SUFFIXES`` without ``open_file``.
    """

    name: str
    open_dataset: Callable[[int, Progress], RoiDataset] = field(
        metadata=hook("open_dataset", "a function, open_dataset(jobs, progress)", callable)
    )
    open_file: Callable[[Path], RoiDataset] | None = field(
        default=None, metadata=hook("open_file", "a function, open_file(path)", callable)
    )
    suffixes: tuple[str, ...] = field(
        default=(), metadata=hook("SUFFIXES", "a tuple of suffixes such as '.npz'", _is_suffixes)
    )
    profile: str = field(
        default=DEFAULT_PROFILE, metadata=hook("PROFILE", "the name of a profile", _is_name)
    )

    def __post_init__(self) -> None:
        if self.suffixes and self.open_file is None:
            raise ValueError(
                f"benchmark/datasets/{self.name}.py: SUFFIXES is {self.suffixes}; it needs "
                "open_file(path), which opens such files"
            )

    def open(self, named: str, jobs: int, progress: Progress) -> RoiDataset:
        """Open the dataset that the user named by plug-in or by the path of a file of its kind."""
        if self.open_file is None or named == self.name:
            return self.open_dataset(jobs, progress)
        return self.open_file(Path(named))
