r"""Fit the turn-taking model on references, and keep it in a readable file.

python recipes/synthetic/fit_turns.py ../shared/data/ami/only_words/rttms/train \
    pyannote_drz/simulation/turn_taking/ami_turns.json \
    --corpus "AMI, only_words references, train (BUTSpeechFIT/AMI-diarization-setup)" \
    --licence Apache-2.0
"""

import datetime
import sys
from pathlib import Path
from typing import Annotated

import typer

from pyannote_drz.simulation import FittedTurns


def main(
    references: Annotated[Path, typer.Argument(help="RTTM file, or folder of them")],
    model: Annotated[Path, typer.Argument(help="JSON file to write")],
    corpus: Annotated[str, typer.Option(help="what a reader of the file should know it as")],
    licence: Annotated[str, typer.Option(help="of the references")],
):
    paths = sorted(references.glob("**/*.rttm")) if references.is_dir() else [references]
    provenance = {
        "corpus": corpus,
        "licence": licence,
        "command": " ".join(["python", *(f"'{a}'" if " " in a else a for a in sys.argv)]),
        "date": datetime.date.today().isoformat(),
    }
    try:
        fitted = FittedTurns.fit(paths, provenance=provenance)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"{references}: {error}") from None
    fitted.save(model)
    found = fitted.model.provenance
    print(
        f"{model}: {found['conversations']} conversations, {found['hours']} hours, "
        f"{found['turns']} turns, {len(fitted.model.states)} states"
    )


if __name__ == "__main__":
    typer.run(main)
