"""A budget of numbers: no description of a model asks for more memory than its weights need."""

from __future__ import annotations

import math

from torch.utils._python_dispatch import TorchDispatchMode

from ..io.errors import InputError

SLACK = 2**24  # numbers of tensors that are no weights: tables, filters, initial values
LEAST = 2**10  # what the smallest tensor costs: millions of layers of no width take hours


class Budget(TorchDispatchMode):
    """Inside, tensors are made until they hold so many numbers; one that does not fit never is.

    Parameters
    ----------
    num_bytes : int
        Of the file of weights. A number takes two or four of them, and may be made twice.

    Raises
    ------
    InputError
        The budget is spent.
    """

    def __init__(self, num_bytes: int):
        super().__init__()
        self.left = self.all = num_bytes + SLACK

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        size = args[0] if args and isinstance(args[0], (list, tuple)) else ()
        if size and all(isinstance(length, int) for length in size):
            self.left -= max(LEAST, math.prod(size))
        if self.left < 0:
            raise InputError(f"its layers hold more than the {self.all - SLACK} bytes of weights")
        return func(*args, **(kwargs or {}))
