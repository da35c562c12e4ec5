"""What all configurations have in common: they check themselves.

A configuration is a frozen dataclass, and annotations tell what its fields may be: `*_share` is a
probability, a pair is a range `(low, high)` from which a value is drawn.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

import numpy as np

from ..io.checked import checked, span
from ..io.errors import InputError

Config = TypeVar("Config", bound="CheckedConfig")

Decibels = span(-200, 100)
Seconds = span(0, 3600)
PerSecond = span(0.001, 1000)
Hertz = span(1, 16000)


class CheckedConfig:
    """Base of the frozen configurations: checks its fields when made."""

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self), include_extras=True)
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), kinds[field.name]
            if field.default_factory is dataclasses.MISSING:
                checked(kind, value, field.name, exact=True)
            elif not isinstance(value, kind):
                raise InputError(
                    f"{field.name} must be parameters and their values, not {value!r}."
                )

    @classmethod
    def of(cls: type[Config], values: Mapping[str, Any] | Config | None) -> Config:
        """Configuration from a mapping of its fields, itself, or nothing."""
        if isinstance(values, cls):
            return values
        return cls.from_dict(values or {})

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Configuration from (possibly nested) plain data, as read from YAML.

        Raises
        ------
        InputError
            If a key is unknown, or a value out of its range.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        made = {}
        for key, value in values.items():
            if key not in fields:
                raise InputError(
                    f"{cls.__name__} has no parameter '{key}'; it has {sorted(fields)}."
                )
            if isinstance(value, Mapping):
                nested = fields[key].default_factory
                if nested is dataclasses.MISSING:
                    raise InputError(f"{key} of {cls.__name__} is one value, not {dict(value)}.")
                value = nested.from_dict(value)
            elif isinstance(value, list):
                value = tuple(value)
            made[key] = value
        return cls(**made)


def uniform(rng: np.random.Generator, low_high: tuple[float, float]) -> float:
    """A value drawn uniformly from the range."""
    return float(rng.uniform(*low_high))


def log_uniform(rng: np.random.Generator, low_high: tuple[float, float]) -> float:
    """A value drawn from the (positive) range, uniform in its logarithm."""
    return math.exp(rng.uniform(math.log(low_high[0]), math.log(low_high[1])))
