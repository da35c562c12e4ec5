"""Dials: what all configurations of the simulator have in common.

A configuration is a frozen dataclass whose field names tell their kind: `*_share` is a
probability, a pair is a range `(low, high)` from which a value is drawn.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

Config = TypeVar("Config", bound="Dials")


class Dials:
    """Base of the frozen configurations: checks shares and ranges when made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            self._check_kind(field, value)
            if isinstance(value, tuple):
                if len(value) != 2 or not value[0] <= value[1]:
                    raise ValueError(f"{field.name} must be a range (low, high), not {value}.")
            elif field.name.endswith("_share") and not 0 <= value <= 1:
                raise ValueError(f"{field.name} must be between 0 and 1, not {value}.")

    @staticmethod
    def _check_kind(field: dataclasses.Field, value: Any) -> None:
        """Raise ValueError if the value is of another kind than the default."""
        nested = field.default_factory
        if nested is not dataclasses.MISSING:
            if isinstance(nested, type) and not isinstance(value, nested):
                raise ValueError(f"{field.name} must be dials and their values, not {value!r}.")
            return
        default = field.default
        if isinstance(default, tuple) and not isinstance(value, tuple):
            raise ValueError(f"{field.name} must be a range (low, high), not {value!r}.")
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"{field.name} must be true or false, not {value!r}.")
            return
        if isinstance(default, (int, float)) and (
            isinstance(value, bool) or not isinstance(value, (int, float))
        ):
            raise ValueError(f"{field.name} must be a number, not {value!r}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(default, (int, float, tuple)) and not (
                isinstance(number, (int, float)) and math.isfinite(number)
            ):
                raise ValueError(f"{field.name} must be finite numbers, not {value!r}.")

    @classmethod
    def from_dict(cls: type[Config], values: Mapping[str, Any]) -> Config:
        """Configuration from (possibly nested) plain data, as read from YAML.

        Raises
        ------
        ValueError
            If a key is unknown, or a value out of its range.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        made = {}
        for key, value in values.items():
            if key not in fields:
                raise ValueError(f"{cls.__name__} has no dial '{key}'; it has {sorted(fields)}.")
            if isinstance(value, Mapping):
                nested = fields[key].default_factory
                if nested is dataclasses.MISSING:
                    raise ValueError(f"{key} of {cls.__name__} is one dial, not {dict(value)}.")
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
