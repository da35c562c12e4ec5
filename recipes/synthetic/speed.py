r"""How fast conversations are made: this simulator and others, side by side, on the same voices.

    python recipes/synthetic/speed.py --registry ../shared/data/database.yml \
        --noise ../shared/data/noise/manifest.csv              # one process, one thread
    python recipes/synthetic/speed.py ... --loading            # voices: decoded, then cached
    python recipes/synthetic/speed.py ... --device cuda --hours 1000 --workers 16

Comparing with lhotse takes `pip install pyannote-drz[recipes]`; its rows are missing without.
"""

import copy
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and NumPy are imported
os.environ["TQDM_DISABLE"] = "1"  # lhotse's progress bars

import numpy as np
import soundfile
import torch
import typer
from pyannote.database import FileFinder, registry
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from pyannote_drz.simulation import (
    Conversation,
    NoiseBank,
    RandomTurns,
    RoomBank,
    SimulationConfig,
    Simulator,
    VoiceBank,
    VoiceFile,
)
from pyannote_drz.simulation.slices import SAMPLE_RATE
from pyannote_drz.tasks.material import CACHE, protocol_voices

SECONDS = 30.0  # of a conversation
BATCH_SIZE = 16  # conversations rendered together on a CPU: what malloc takes back and reuses
CUT_VOICES = 400  # whose utterances are cut into files: more need minutes, and change nothing
DEVICE_BATCH_SIZE = 64  # on a GPU: about one of the renderer's blocks
ROUND_S = 2.0  # CPU seconds of a contender in every round
OURS, CLEAN = "ours, everything on", "ours, without rooms, noise and channels"

Step = Callable[[], float]  # makes some audio, and tells how many seconds


def ours(simulator: Simulator, with_prompts: bool, seed: int = 0) -> Step:
    """Draw and render a batch. Prompts are made beside and not counted as audio."""
    rng = np.random.default_rng(seed)

    def step() -> float:
        conversations = [simulator.draw(rng, SECONDS, with_prompts) for _ in range(BATCH_SIZE)]
        return simulator.render(conversations, "cpu").waveforms.numel() / SAMPLE_RATE

    return step


def plain_loop(utterances: Sequence[Sequence[tuple[Path, int, int]]]) -> Step:
    """One mixture at a time, a file opened for every turn, as nanodrz does.

    Read for understanding: github.com/mogwai/nanodrz, `artificial_diarisation_sample`. In its
    favour: the buffer does not grow turn by turn, nothing is read in vain, nothing resampled.

    Parameters
    ----------
    utterances : per speaker, (path, first sample, number of samples)
    """
    rng = random.Random(0)

    def step() -> float:
        audio = np.zeros(int(SECONDS * SAMPLE_RATE), np.float32)
        people, position = rng.sample(utterances, rng.randint(2, 4)), 0
        while position < len(audio):
            path, first, count = rng.choice(rng.choice(people))
            turn, _ = soundfile.read(path, count, first, dtype="float32")
            start = max(0, position + int(rng.uniform(-0.2, 0.2) * SAMPLE_RATE))
            turn = turn[: max(0, len(audio) - start)]
            audio[start : start + len(turn)] += turn
            position = start + max(len(turn), 1)
        return SECONDS

    return step


def whole_utterances(voices: Sequence[VoiceFile]) -> list[list[tuple[Path, int, int]]]:
    """Every region of every voice, to be read out of its file."""
    return [
        [
            (Path(voice.path), int(start * SAMPLE_RATE), int((end - start) * SAMPLE_RATE))
            for start, end in voice.regions
        ]
        for voice in voices
    ]


def cut_utterances(
    utterances: Sequence[Sequence[tuple[Path, int, int]]], folder: Path
) -> list[list[tuple[Path, int, int]]]:
    """The same as one 16-bit WAV file each, written to the folder."""
    cut: list[list[tuple[Path, int, int]]] = []
    for voice in utterances:
        cut.append([])
        for path, first, count in voice:
            audio, _ = soundfile.read(path, count, first, dtype="int16")
            target = folder / f"{len(cut)}-{len(cut[-1])}.wav"
            soundfile.write(target, audio, SAMPLE_RATE)
            cut[-1].append((target, 0, len(audio)))
    return cut


def lhotse_meetings(voices: Sequence[VoiceFile]) -> dict[str, tuple[Step, float]]:
    """Meetings of lhotse's ConversationalMeetingSimulator, loaded one by one.

    All its settings are defaults but 2, 3 or 4 speakers. Every utterance is one cut and is used
    once: asked for a number of meetings instead, its samplers fill shuffling buffers of 20000
    cuts for every speaker. Making the cuts is not counted.

    Returns
    -------
    contenders : dict
        Name -> (step, CPU seconds for the script of one second of audio).
    """
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
    from lhotse.workflows.meeting_simulation import ConversationalMeetingSimulator

    cuts = []
    for voice in voices:
        recording = Recording.from_file(voice.path)
        for number, (start, end) in enumerate(voice.regions):
            end = min(end, recording.duration)
            name = f"{recording.id}-{number}"
            said = SupervisionSegment(name, recording.id, 0.0, end - start, speaker=voice.speaker)
            cuts.append(MonoCut(name, start, end - start, 0, [said], recording=recording))
    begin = time.process_time()
    simulator = ConversationalMeetingSimulator()
    meetings = simulator.simulate(
        CutSet.from_cuts(cuts), num_repeats=1, num_speakers_per_meeting=[2, 3, 4],
        speaker_count_probs=[0.25, 0.5, 0.25],
    )  # fmt: skip
    meetings = list(meetings)
    script_s = (time.process_time() - begin) / sum(meeting.duration for meeting in meetings)
    random.Random(0).shuffle(meetings)

    def loading(meetings: list) -> Step:
        endless = cycle(meetings)
        return lambda: next(endless).load_audio().shape[1] / SAMPLE_RATE

    wet = list(simulator.reverberate(CutSet.from_cuts(meetings[:500])))
    return {
        "lhotse": (loading(meetings), script_s),
        "lhotse, its own reverberation": (loading(wet), script_s),
    }


def compare(contenders: dict[str, tuple[Step, float]], rounds: int) -> dict[str, float]:
    """Run all contenders in turn, and that several times; print a table.

    Returns
    -------
    speeds : dict
        Name -> seconds of audio per CPU second, median of the rounds.
    """
    by_cpu: dict[str, list[float]] = {name: [] for name in contenders}
    by_wall: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, (step, extra_s) in contenders.items():
            made_s, wall, cpu = 0.0, time.perf_counter(), time.process_time()
            while time.process_time() - cpu < ROUND_S:
                made_s += step()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if number > 0:  # the first round warms up
                by_cpu[name].append(made_s / (cpu + extra_s * made_s))
                by_wall[name].append(made_s / (wall + extra_s * made_s))
    speeds = {name: statistics.median(values) for name, values in by_cpu.items()}
    print("| | hours per minute and core | × real time: CPU, median (range) | wall, best |")
    print("|---|---|---|---|")
    for name, values in by_cpu.items():
        print(
            f"| {name} | {speeds[name] / 60:.1f} | {speeds[name]:.0f} ({min(values):.0f}–"
            f"{max(values):.0f}) | {max(by_wall[name]):.0f} |"
        )
    for other in list(contenders)[4:]:
        print(f"{CLEAN}, is {speeds[CLEAN] / speeds[other]:.1f} × {other}.")
    print(f"{OURS}, is {speeds[OURS]:.0f} × real time.")
    return speeds


class Drawn(IterableDataset):
    """Batches of conversations, and the CPU seconds their drawing took; endless in each worker."""

    def __init__(self, simulator: Simulator, batch_size: int, with_prompts: bool):
        self.simulator, self.batch_size = simulator, batch_size
        self.with_prompts = with_prompts

    def __iter__(self) -> Iterator[tuple[list[Conversation], float]]:
        info = get_worker_info()
        rng = np.random.default_rng([0, info.id if info else 0])
        while True:
            begin = time.process_time()
            drawn = [
                self.simulator.draw(rng, SECONDS, self.with_prompts) for _ in range(self.batch_size)
            ]
            yield drawn, time.process_time() - begin


def for_drawing(simulator: Simulator) -> Simulator:
    """The simulator without samples, which need not travel to workers."""
    light = copy.copy(simulator)
    light.bank = copy.copy(simulator.bank)
    light.bank.samples = simulator.bank.samples[:0].clone()
    if simulator.noises is not None:
        light.noises = copy.copy(simulator.noises)
        light.noises.samples = simulator.noises.samples[:0].clone()
    if simulator.rooms is not None:
        light.rooms = copy.copy(simulator.rooms)
        light.rooms.responses = simulator.rooms.responses[:0].clone()
    return light


def on_device(
    simulator: Simulator, device: torch.device, hours: float, workers: int, with_prompts: bool
) -> None:
    """Draw in worker processes, render on the device; print how long each took."""
    dataset = Drawn(for_drawing(simulator), DEVICE_BATCH_SIZE, with_prompts)
    context = "spawn" if workers else None  # forked workers and CUDA do not go together
    loader = DataLoader(
        dataset, batch_size=None, num_workers=workers, multiprocessing_context=context,
        prefetch_factor=8 if workers else None,
    )  # fmt: skip

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    batches = iter(loader)
    simulator.render(next(batches)[0], device)  # tables to the device, FFT plans, workers awake
    wait()
    count = max(1, round(hours * 3600 / SECONDS / DEVICE_BATCH_SIZE))
    drawn_s = waited_s = rendered_s = 0.0
    begin, begin_cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        start = time.perf_counter()
        conversations, cpu_s = next(batches)
        drawn_s += cpu_s
        waited_s += time.perf_counter() - start
        start = time.perf_counter()
        simulator.render(conversations, device)
        wait()
        rendered_s += time.perf_counter() - start
    total_s = time.perf_counter() - begin
    made_h = count * DEVICE_BATCH_SIZE * SECONDS / 3600
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(
        f"{made_h:.1f} h on {name} with {workers} workers in {total_s:.1f} s, prompts "
        f"{'everywhere' if with_prompts else 'nowhere'}: {1000 / made_h * total_s:.1f} s for "
        f"1000 h\n"
        f"drawing: {drawn_s:.1f} CPU s in the workers; waiting for them: {waited_s:.1f} s\n"
        f"rendering: {rendered_s:.1f} s, {made_h / rendered_s * 60:.1f} h a minute; CPU of the "
        f"process that renders: {time.process_time() - begin_cpu:.1f} s"
    )


def loading(registry_path: Path, name: str) -> None:
    """Time from a protocol to voices in memory: decoded, then from the cache; print both."""
    with TemporaryDirectory() as cache:
        for what in ("first time: all files are decoded", "second time: cached"):
            start, cpu = time.perf_counter(), time.process_time()
            voices = protocol_voices(load_protocol(registry_path, name), "train")
            listed_s, listed_cpu_s = time.perf_counter() - start, time.process_time() - cpu
            bank = VoiceBank.cached(voices, cache)
            speech_h = bank.speech_s.sum() / 3600
            print(
                f"{what}: {time.perf_counter() - start:.1f} s (CPU {time.process_time() - cpu:.1f}"
                f" s), {listed_s:.1f} s (CPU {listed_cpu_s:.1f} s) of it to iterate the protocol; "
                f"{len(voices)} files, {speech_h:.1f} h of speech"
            )


def load_protocol(registry_path: Path, name: str):
    """A protocol whose files know their audio."""
    registry.load_database(registry_path)
    return registry.get_protocol(name, preprocessors={"audio": FileFinder()})


def hardware() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main(
    registry_path: Annotated[Path, typer.Option("--registry", help="database.yml of the voices")],
    protocol: str = "Voices.SpeakerDiarization.Voices",
    noise: Annotated[Path | None, typer.Option(help="CSV manifest of recorded noise")] = None,
    rooms: Annotated[Path | None, typer.Option(help="room bank, see make_rooms.py")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    only_loading: Annotated[bool, typer.Option("--loading", help="of voices")] = False,
    device: Annotated[str | None, typer.Option(help="render there, draw in workers")] = None,
    hours: Annotated[float, typer.Option(min=0.1, help="of audio, for --device")] = 1000.0,
    workers: Annotated[int, typer.Option(min=0, help="for --device")] = os.cpu_count() or 1,
    prompts: Annotated[bool, typer.Option(help="for --device")] = False,
):
    torch.set_num_threads(1)
    print(f"{date.today()}, {hardware()}, torch {torch.__version__}, one thread a process")
    if only_loading:
        loading(registry_path, protocol)
        return
    voices = protocol_voices(load_protocol(registry_path, protocol), "train")
    bank = VoiceBank.cached(voices, CACHE)
    noises = noise and NoiseBank.from_manifest(noise)
    room_bank = rooms and RoomBank.from_file(rooms)
    everything = Simulator(bank, RandomTurns(), SimulationConfig(), noises, room_bank)
    if device is not None:
        on_device(everything, torch.device(device), hours, workers, prompts)
        return
    clean = Simulator(bank, RandomTurns(), SimulationConfig.clean())
    bank.samples.sum()  # off the disk
    for voice in voices:
        Path(voice.path).read_bytes()
    contenders = {
        CLEAN: (ours(clean, False), 0.0),
        f"{CLEAN}, prompts beside": (ours(clean, True), 0.0),
        OURS: (ours(everything, False), 0.0),
        f"{OURS}, prompts beside": (ours(everything, True), 0.0),
    }
    utterances = whole_utterances(voices)
    with TemporaryDirectory() as folder:
        try:
            contenders |= lhotse_meetings(voices)
        except ImportError as error:
            print(f"without lhotse ({error}): pip install pyannote-drz[recipes]")
        contenders["plain loop, files opened turn by turn"] = (plain_loop(utterances), 0.0)
        cut = cut_utterances(
            random.Random(0).sample(utterances, min(CUT_VOICES, len(utterances))), Path(folder)
        )
        contenders["the same, on utterances cut into WAV files before"] = (plain_loop(cut), 0.0)
        compare(contenders, rounds)


if __name__ == "__main__":
    typer.run(main)
