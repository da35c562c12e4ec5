"""Make a pipeline folder of a checkpoint.

python recipes/synthetic/package.py runs/cpu/2/best.ckpt pyannote_drz/pretrained
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from pyannote.audio import Model

from pyannote_drz.pipelines.packaging import save_pretrained


def main(
    checkpoint: Path,
    folder: Path,
    duration: Annotated[float | None, typer.Option(help="s; chunks of the pipeline")] = None,
    context: Annotated[float, typer.Option(help="s; decoded but not emitted at seams")] = 4,
    threshold: Annotated[float, typer.Option(help="turns less probable than that are dropped")] = 0,
    activity_threshold: Annotated[
        float, typer.Option(help="turns are cut where speech is less probable")
    ] = 0.6,
    newcomer_bias: Annotated[float, typer.Option(help="higher: more speakers in a chunk")] = 1.0,
    min_duration_off: Annotated[float, typer.Option(help="s; shorter gaps are filled")] = 0.5,
    linking_threshold: Annotated[
        float, typer.Option(help="voices less alike than that are two people")
    ] = 0.5,
    num_passes: Annotated[int, typer.Option(help="2: once more, prompted with what was found")] = 1,
):
    # Without the classifier of training voices, which no pipeline needs.
    model = Model.from_pretrained(checkpoint, strict=False)
    if duration is not None:  # shorter chunks than in training: fewer people in each
        model.specifications = replace(
            model.specifications, duration=duration, min_duration=duration
        )
    params = {
        "threshold": threshold,
        "activity_threshold": activity_threshold,
        "newcomer_bias": newcomer_bias,
        "min_duration_off": min_duration_off,
        "linking_threshold": linking_threshold,
        "num_passes": num_passes,
    }
    save_pretrained(model, folder, params, context=context, dtype=torch.float16)
    print(f"{folder}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    typer.run(main)
