"""One system hears some recordings, in a process of its own: what that took, as a line of JSON.

    python recipes/speed/hear.py "ours, one pass" a.wav [b.wav …] --threads 2

speed.py calls it. Time is from a recording on the disk to its turns; loading is told apart, and
measured with the first second, which is silence, so that nothing is left to be made ready.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

Turns = list[tuple[float, float, str]]
Hear = Callable[[list[Path], Callable], dict[str, Turns]]

OURS = {"ours, one pass": 1, "ours, two passes": 2, "ours, online": 1}
SHERPA = "sherpa-onnx"
PYANNOTE = "pyannote.audio's pipeline"
SYSTEMS = [*OURS, SHERPA, PYANNOTE]
STEP_S, LOOKAHEAD_S = 5.0, 2.0  # online: told at most that much later, together
SILENCE_S = 1.0


class Stages:
    """Seconds by stage: what passes until a pipeline reports a step is that step's."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def __call__(self, step: str, *_, **__) -> None:
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self.last
        self.last = now


def ours(system: str, pipeline: Path | None, device: str) -> Hear:
    """Our pipeline; several recordings at once."""
    import torch

    import pyannote_drz
    from pyannote_drz.pipelines.packaging import load_pretrained

    loaded = load_pretrained(pipeline or pyannote_drz.PRETRAINED).to(torch.device(device))
    loaded.instantiate({"num_passes": OURS[system]})
    options = {}
    if system == "ours, online":
        options = {"online": True, "step": STEP_S, "lookahead": LOOKAHEAD_S}

    def hear(files: list[Path], hook: Callable) -> dict[str, Turns]:
        outputs = loaded(list(files), hook=hook, **options)
        return {file["uri"]: turns_of(output) for file, output in outputs}

    return hear


def sherpa(script: Path) -> Hear:
    """sherpa-onnx as the peer's own script sets it up; it prints RTTM, which nobody reads."""
    import soundfile

    said, sys.argv, stdout = sys.argv, [str(script), str(silence())], sys.stdout
    with open(os.devnull, "w") as sys.stdout:
        diarizer = runpy.run_path(str(script))["diarizer"]
    sys.argv, sys.stdout = said, stdout

    def hear(files: list[Path], hook: Callable) -> dict[str, Turns]:
        answers = {}
        for file in files:
            samples, _ = soundfile.read(file, dtype="float32")
            turns = diarizer.process(samples).sort_by_start_time()
            answers[file.stem] = [(turn.start, turn.end, str(turn.speaker)) for turn in turns]
        return answers

    return hear


def pyannote(device: str) -> Hear:
    """pyannote.audio's own pipeline; recordings in memory, as its reader asks for FFmpeg."""
    from pyannotes_own import make_pipeline

    from pyannote_drz.io.audio import Audio

    pipeline, audio = make_pipeline(device), Audio(16000, mono="downmix")

    def hear(files: list[Path], hook: Callable) -> dict[str, Turns]:
        answers = {}
        for file in files:
            waveform, rate = audio(file)
            recording = {"waveform": waveform, "sample_rate": rate, "uri": file.stem}
            answers[file.stem] = turns_of(pipeline(recording, hook=hook))
        return answers

    return hear


def turns_of(output) -> Turns:
    tracks = output.speaker_diarization.itertracks(yield_label=True)
    return [(turn.start, turn.end, str(who)) for turn, _, who in tracks]


def silence() -> Path:
    """A second of nothing, to make everything ready."""
    import tempfile

    import numpy as np
    import soundfile

    path = Path(tempfile.mkdtemp(), "silence.wav")
    soundfile.write(path, np.zeros(round(16000 * SILENCE_S), np.float32), 16000)
    return path


def peak_gb() -> float:
    """Most memory that this process had.

    As Linux tells of a process since it became this program: `getrusage` counts what its parent
    had when it started it, too, which is another system's torch.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # bytes, as on a Mac


def cpu_s() -> float:
    return sum(os.times()[:2])


def main(
    system: str,
    files: list[Path],
    threads: Annotated[int, typer.Option(min=1)] = 1,
    device: str = "cpu",
    pipeline: Path | None = None,
    peer: Annotated[Path, typer.Option(help="sherpa-onnx's script.")] = Path(
        "../shared/peers/sherpa_diarize.py"
    ),
) -> None:
    """Hear, and tell what it took."""
    began = time.perf_counter()
    if system != SHERPA:  # which needs no torch, and whose memory should not hold it
        import torch

        torch.set_num_threads(threads)
    if system in OURS:
        hear = ours(system, pipeline, device)
    elif system == SHERPA:
        hear = sherpa(peer)
    elif system == PYANNOTE:
        hear = pyannote(device)
    else:
        raise typer.BadParameter(f"{system!r} is none of {', '.join(SYSTEMS)}.")
    hear([silence()], Stages())
    load_s, loaded_gb = time.perf_counter() - began, peak_gb()
    stages, wall, cpu = Stages(), time.perf_counter(), cpu_s()
    answers = hear(files, stages)
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": cpu_s() - cpu}
    if device.startswith("cuda"):
        took["gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9
    took |= {"load_s": load_s, "loaded_gb": loaded_gb, "peak_gb": peak_gb()}
    print(json.dumps(took | {"stages": stages.seconds, "turns": answers}))


if __name__ == "__main__":
    typer.run(main)
