"""Folders of runs: one that cannot be made is told in one sentence, before Hydra makes it."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class RunFolder(Callback):
    """Make the folder of a run, or of a sweep; Hydra itself fails with a traceback."""

    def on_run_start(self, config: DictConfig, **kwargs: object) -> None:
        self._make(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        self._make(config, "sweep")

    def _make(self, config: DictConfig, kind: str) -> None:
        HydraConfig.instance().set_config(config)  # the folder's name asks for it
        name, folder = f"hydra.{kind}.dir", config.hydra[kind].dir
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            sys.exit(f"pyannote-audio-train: {name} cannot be '{folder}': {error.strerror}.")
