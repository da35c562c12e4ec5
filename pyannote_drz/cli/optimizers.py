"""Muon for the matrices of hidden layers, AdamW for all else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.optim import AdamW, Muon, Optimizer


class MuonAdamW(Optimizer):
    """Muon where it is meant for, AdamW elsewhere: embeddings, heads, convolutions, norms.

    With the same learning rate both move weights by about as much in a step (Moonshot's scaling,
    `adjust_lr_fn="match_rms_adamw"`), so that one learning rate and one schedule do.

    Parameters
    ----------
    params : iterable of dict
        Parameter groups; "params" are pairs of name and parameter.
    lr : float
        Of groups that say nothing else.
    hidden : sequence of str
        How the names of hidden layers begin; their matrices are Muon's.
    momentum : float, optional
        Of Muon.
    betas, eps : optional
        Of AdamW.
    weight_decay : float, optional
        Of groups that say nothing else.

    Raises
    ------
    ValueError
        No matrix has such a name.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, section 2.2 (the scaling).
    """

    def __init__(
        self,
        params,
        lr: float,
        hidden: Sequence[str],
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.05,
    ):
        matrices, others = [], []
        for group in params:
            chosen: dict[bool, list] = {True: [], False: []}
            for name, parameter in group["params"]:
                is_hidden = parameter.ndim == 2 and name.startswith(tuple(hidden))
                chosen[is_hidden].append((name, parameter))
            settings = {"lr": lr, "weight_decay": weight_decay, **group}
            for groups, named in ((matrices, chosen[True]), (others, chosen[False])):
                if named:
                    groups.append({**settings, "params": named})
        if not matrices:
            raise ValueError(f"no matrix of the model has a name that begins with {list(hidden)}.")
        super().__init__([*matrices, *others], {"lr": lr, "weight_decay": weight_decay})
        # Both share the dictionaries of their groups with this optimizer, so that a scheduler
        # that sets a learning rate here sets it there.
        self.parts: list[Optimizer] = [
            Muon(
                self.param_groups[: len(matrices)],
                momentum=momentum,
                adjust_lr_fn="match_rms_adamw",
            )
        ]
        if others:
            self.parts.append(AdamW(self.param_groups[len(matrices) :], betas=betas, eps=eps))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict:
        """States of both, to be resumed from."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from where `state_dict` was."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
