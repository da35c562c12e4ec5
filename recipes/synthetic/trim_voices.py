"""Take out of voices what PyanNet hears nobody in: noise that energy takes for speech.

    python recipes/synthetic/trim_voices.py DATABASE.yml Voices.SpeakerDiarization.Voices trimmed
    python recipes/synthetic/make_features.py … --database trimmed/database.yml

Simulated turns last as long as their voices say. Where a voice is silent while its reference says
that it speaks, a model learns that what sounds like a pause may be speech: in simulated
conversations 45 % of the silences of half a second were pauses, in real ones 73 % (RUNS.md).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from pyannote.core import Annotation, Segment, Timeline

from pyannote_drz.cli.protocols import get_protocol, load_database
from pyannote_drz.io.audio import Audio
from pyannote_drz.io.errors import one_line
from pyannote_drz.models.encoders import FeatureEncoder
from pyannote_drz.models.encoders.features import BIN_SAMPLES, SAMPLE_RATE, TAIL_SAMPLES
from pyannote_drz.models.encoders.level import Level
from pyannote_drz.models.encoders.segmentation import at_bins, runs
from pyannote_drz.simulation.writing.encoding import write_text

BLOCK = 30 * SAMPLE_RATE  # PyanNet learnt from 10 s, and hears 30 s as well
BIN_S = BIN_SAMPLES / SAMPLE_RATE  # 20 ms
PAUSE_S = 0.3  # s; what is shorter stays: stop closures, breath
LEAST_S = 0.2  # s; what is shorter between two pauses goes
SUBSETS = ("train", "development", "test")


def nobody(encoder: FeatureEncoder, waveform: torch.Tensor) -> np.ndarray:
    """Whether PyanNet hears nobody, (bins,), in (samples,) at 16 kHz."""
    level, found = Level(waveform), []
    for block in waveform.split(BLOCK):
        num_bins = -(-len(block) // BIN_SAMPLES)
        padded = torch.nn.functional.pad(level.of(block), (0, TAIL_SAMPLES + BIN_SAMPLES))
        with torch.inference_mode():
            classes = at_bins(encoder.segmentation(padded[None, None]), num_bins, BIN_SAMPLES)
        found.append(classes[0, :, 0].exp().numpy() > 0.5)
    return np.concatenate(found)


def trim(annotation: Annotation, silent: np.ndarray) -> Annotation:
    """Turns without the pauses that are heard in them."""
    pauses = Timeline(
        Segment(first * BIN_S, stop * BIN_S) for first, stop in runs(silent, round(PAUSE_S / BIN_S))
    )
    trimmed = Annotation(uri=annotation.uri)
    for turn, track, speaker in annotation.itertracks(yield_label=True):
        for part, piece in enumerate(pauses.gaps(turn)):
            if piece.duration >= LEAST_S:
                trimmed[piece, f"{track}-{part}"] = speaker
    return trimmed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path, help="database.yml")
    parser.add_argument("protocol")
    parser.add_argument("out", type=Path, help="folder for references and their database.yml")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        write(arguments.database, arguments.protocol, arguments.out)
    except (ValueError, OSError) as error:
        sys.exit(f"trim_voices.py: {one_line(error)}")


def write(database: Path, name: str, out: Path) -> None:
    """Write trimmed references of all subsets, and the database.yml that finds them."""
    load_database(database)
    protocol = get_protocol(name)
    encoder, audio = FeatureEncoder(), Audio(sample_rate=SAMPLE_RATE, mono="downmix")
    out.mkdir(parents=True, exist_ok=True)
    paths: dict[str, str] = {}
    described: dict[str, object] = {"scope": "global"}
    for subset in SUBSETS:
        try:
            files = list(getattr(protocol, subset)())
        except (AttributeError, NotImplementedError):
            continue
        before_s = after_s = 0.0
        rttm, uem, uris = [], [], []
        for file in files:
            annotation = file["annotation"]
            trimmed = trim(annotation, nobody(encoder, audio(file)[0][0]))
            before_s += annotation.get_timeline().duration()
            after_s += trimmed.get_timeline().duration()
            paths[file["uri"]] = os.path.abspath(file["audio"])
            uris.append(file["uri"])
            rttm.append(trimmed.to_rttm())
            uem.append(file["annotated"].to_uem())
        if not uris:
            continue
        kinds = {
            "uri": ("lst", "".join(f"{uri}\n" for uri in uris)),
            "annotation": ("rttm", "".join(rttm)),
            "annotated": ("uem", "".join(uem)),
        }
        described[subset] = {}
        for key, (extension, text) in kinds.items():
            described[subset][key] = f"{subset}.{extension}"
            write_text(out / f"{subset}.{extension}", text)
        print(f"{subset}: {len(uris)} files, {before_s:.0f} s of speech, {after_s:.0f} s left")
    group, _, rest = name.partition(".")
    task, _, variant = rest.partition(".")
    folders = sorted({os.path.dirname(path) for path in paths.values()})
    extension = os.path.splitext(next(iter(paths.values())))[1]
    content = {
        "Databases": {group: [f"{folder}/{{uri}}{extension}" for folder in folders]},
        "Protocols": {group: {task: {variant: described}}},
    }
    write_text(out / "database.yml", yaml.safe_dump(content, sort_keys=False))


if __name__ == "__main__":
    main()
