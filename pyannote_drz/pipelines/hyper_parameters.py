"""Hyper-parameters of `Pix2SeqDiarization`: their ranges, their defaults, and what is none."""

from __future__ import annotations

import warnings
from numbers import Integral, Real

from pyannote.audio.core.pipeline import Pipeline
from pyannote.pipeline.parameter import Frozen, Integer, Uniform

from ..io.checked import shown
from ..io.errors import InputError
from ..tokens import MERGE_GAP

DEFAULTS = {
    "threshold": 0.0,
    "newcomer_bias": 0.0,
    "min_duration_on": 0.0,
    "min_duration_off": MERGE_GAP,
    "clustering_threshold": 0.35,
    "num_passes": 1,
}
# What pipelines of before the encoders had; their values mean nothing to today's embeddings.
FORMER = {"linking_threshold": "clustering_threshold", "activity_threshold": None}


class HyperParameters(Pipeline):
    """A pipeline whose hyper-parameters are checked, by name and value, and have defaults."""

    def __init__(self):
        super().__init__()
        self.threshold = Uniform(0.0, 1.0)
        self.newcomer_bias = Uniform(-4.0, 4.0)
        self.min_duration_on = Uniform(0.0, 1.0)
        self.min_duration_off = Uniform(0.0, 1.0)
        self.clustering_threshold = Uniform(-1.0, 1.0)
        self.num_passes = Integer(1, 2)

    def default_parameters(self) -> dict[str, float]:
        """What is set, as by a pipeline folder: tuning starts there, and so never ends worse.

        What is not set: all turns are kept; pauses as in the targets that the model has learnt.
        """
        return {**DEFAULTS, **self.parameters(instantiated=True)}

    def instantiate(self, params: dict[str, float]) -> HyperParameters:
        """Set hyper-parameters; those that never were set, nor are given, have their defaults.

        Raises
        ------
        InputError
            There is no such hyper-parameter, or its value is outside its range.
        """
        params = dict(params)
        for name in FORMER.keys() & params.keys():
            new = FORMER[name]
            value = params.pop(name)
            told = "has no effect any more" if new is None else f"is called {new} now"
            warnings.warn(f"{name} {told}.", FutureWarning, stacklevel=2)
            if new is not None:
                params.setdefault(new, value)
        for name, value in params.items():
            self._check_parameter(name, value)
        missing = set(self.parameters()) - set(self.parameters(instantiated=True)) - set(params)
        return super().instantiate({**{name: DEFAULTS[name] for name in missing}, **params})

    def freeze(self, params: dict) -> HyperParameters:
        """Set hyper-parameters that tuning leaves as they are; raises as `instantiate` does."""
        for name, value in params.items():
            self._check_parameter(name, value)
        return super().freeze(params)

    def _check_parameter(self, name: str, value: object) -> None:
        parameter = self._parameters.get(name)
        if parameter is None:
            known = ", ".join(self._parameters)
            raise InputError(f"there is no hyper-parameter {shown(name)}, but {known}.")
        if isinstance(parameter, Frozen):  # keeps its own value, which was checked
            return
        whole = isinstance(parameter, Integer)
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            kind = "a whole number" if whole else "a number"
            raise InputError(f"{name} must be {kind}, got {shown(value)}.")
        if not parameter.low <= value <= parameter.high:  # nan neither
            raise InputError(
                f"{name} must be from {parameter.low:g} to {parameter.high:g}, got {shown(value)}."
            )
