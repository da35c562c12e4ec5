"""Make a pipeline folder of a checkpoint.

python recipes/synthetic/package.py runs/cpu/2/best.ckpt pyannote_drz/pretrained
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from pyannote.audio import Model

from pyannote_drz.pipelines.packaging import save_pretrained


def main(
    checkpoint: Path,
    folder: Path,
    threshold: Annotated[float, typer.Option(help="turns less probable than that are dropped")] = 0,
    min_duration_off: Annotated[float, typer.Option(help="s; shorter gaps are filled")] = 0.5,
):
    # Without the classifier of training voices, which no pipeline needs.
    model = Model.from_pretrained(checkpoint, strict=False)
    params = {"threshold": threshold, "min_duration_off": min_duration_off}
    save_pretrained(model, folder, params, dtype=torch.float16)
    print(f"{folder}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    typer.run(main)
