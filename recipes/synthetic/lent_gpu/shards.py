"""A checkpoint in parts that are small enough to travel, and back.

    python shards.py split runs/long/last.ckpt FOLDER --stage long
    python shards.py merge FOLDER start.ckpt

Only weights travel, the averaged ones, in half precision; the optimizer's state, twice as many
numbers in single precision, does not: who begins with these weights warms up again.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer

from pyannote_drz.drafts import draft_of

MAX_BYTES = 15 * 2**20  # of a shard; the lent machine gives back files of up to 16 MiB …
MAX_SHARDS = 4  # … 64 MiB in all, of which log and results want some
EXACT = ("log_mel.",)  # filters: they are not learnt, and rounding them adds noise
# Of use to nobody but the run that wrote them.
STATE = {"optimizer_states", "lr_schedulers", "loops", "callbacks", "current_model_state",
         "averaging_state"}  # fmt: skip

app = typer.Typer(add_completion=False, help=__doc__)


def halved(name: str, weights: torch.Tensor) -> torch.Tensor:
    """Weights in half precision, where they are learnt.

    Raises
    ------
    ValueError
        They do not fit.
    """
    if not weights.is_floating_point() or name.startswith(EXACT):
        return weights.clone()
    half = weights.half()
    if not half.isfinite().all():
        raise ValueError(f"{name} is not finite in half precision: {weights.abs().max()} at most.")
    return half


def save(content: dict, path: Path) -> None:
    """Write a file, all of it or nothing."""
    with draft_of(path) as part:
        torch.save(content, part)


@app.command()
def split(
    checkpoint: Path, folder: Path, stage: Annotated[str, typer.Option(help="that it is of")] = ""
):
    """Write FOLDER/weights.0.pt, weights.1.pt, …"""
    # Specifications and the like are objects of pyannote.audio: only load what you trust.
    content = torch.load(checkpoint, map_location="cpu", weights_only=False)
    if not isinstance(content, dict) or "state_dict" not in content:
        raise typer.BadParameter(f"{checkpoint} is no checkpoint: it has no 'state_dict'.")
    rest = {key: content[key] for key in content if key not in STATE | {"state_dict"}}
    shards, room = [], 0
    for name, weights in content["state_dict"].items():
        half = halved(name, weights)
        num_bytes = half.numel() * half.element_size()
        if num_bytes > room:
            shards.append({})
            room = MAX_BYTES
        shards[-1][name] = half
        room -= num_bytes
    if len(shards) > MAX_SHARDS:
        raise typer.BadParameter(
            f"{checkpoint} makes {len(shards)} shards of {MAX_BYTES / 2**20:g} MiB, and "
            f"{MAX_SHARDS} travel: choose a smaller model."
        )
    folder.mkdir(parents=True, exist_ok=True)
    step = int(content["global_step"])
    for k, weights in enumerate(shards):
        head = {"of": len(shards), "stage": stage, "step": step}
        save({**head, "weights": weights, "rest": rest}, folder / f"weights.{k}.pt")
    print(f"{folder}: {len(shards)} shards, stage {stage or '?'}, step {step}")


@app.command()
def merge(folder: Path, checkpoint: Path):
    """Write a checkpoint for model=Pretrained, or for package.py; print its stage."""
    paths = sorted(folder.glob("weights.*.pt"))
    shards = [torch.load(path, map_location="cpu", weights_only=False) for path in paths]
    if not shards:
        raise typer.BadParameter(f"there is no shard in {folder}.")
    if len({(shard["of"], shard["stage"], shard["step"]) for shard in shards}) > 1:
        raise typer.BadParameter(f"the shards in {folder} are not of one checkpoint.")
    if len(shards) != shards[0]["of"]:
        raise typer.BadParameter(f"{folder} has {len(shards)} of {shards[0]['of']} shards.")
    weights = {name: half for shard in shards for name, half in shard["weights"].items()}
    single = {name: w.float() if w.is_floating_point() else w for name, w in weights.items()}
    save({**shards[0]["rest"], "state_dict": single}, checkpoint)
    print(shards[0]["stage"])


if __name__ == "__main__":
    app()
