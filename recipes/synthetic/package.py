"""Make a pipeline folder of a checkpoint, or of the average of several of one origin.

python recipes/synthetic/package.py runs/cpu/long/last.ckpt FOLDER --context 2
python recipes/synthetic/package.py runs/cpu/long/last.ckpt FOLDER --average runs/cpu/long/best.ckpt
python recipes/synthetic/package.py runs/F/last.ckpt FOLDER --average pyannote_drz/pretrained

What is listed several times weighs as much more.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from pyannote_drz.pipelines.hyper_parameters import DEFAULTS
from pyannote_drz.pipelines.packaging import save_pretrained
from pyannote_drz.storage.sources import model_of


def main(
    checkpoint: Path,
    folder: Path,
    duration: Annotated[float | None, typer.Option(help="s; chunks of the pipeline")] = None,
    context: Annotated[float, typer.Option(help="s; decoded but not emitted at seams")] = 4,
    threshold: Annotated[float, typer.Option(help="turns less probable than that are dropped")] = 0,
    newcomer_bias: Annotated[float, typer.Option(help="higher: more speakers in a chunk")] = 1.0,
    min_duration_off: Annotated[float, typer.Option(help="s; shorter gaps are filled")] = DEFAULTS[
        "min_duration_off"
    ],
    clustering_threshold: Annotated[
        float, typer.Option(help="speakers less alike than that are two")
    ] = DEFAULTS["clustering_threshold"],
    num_passes: Annotated[int, typer.Option(help="2: once more, prompted with what was found")] = 1,
    average: Annotated[
        list[Path] | None,
        typer.Option(help="average with these, too: checkpoints, or packaged models' folders"),
    ] = None,
):
    # Without the memory of training voices, which no pipeline needs.
    model, *others = (model_of(path) for path in (checkpoint, *(average or [])))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            for other in others:
                weight += other.get_parameter(name)
            weight /= 1 + len(others)
    if duration is not None:  # shorter chunks than in training: fewer people in each
        model.specifications = replace(
            model.specifications, duration=duration, min_duration=duration
        )
    params = {
        "threshold": threshold,
        "newcomer_bias": newcomer_bias,
        "min_duration_off": min_duration_off,
        "clustering_threshold": clustering_threshold,
        "num_passes": num_passes,
    }
    save_pretrained(model, folder, params, context=context, dtype=torch.float16)
    print(f"{folder}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    typer.run(main)
