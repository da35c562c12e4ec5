"""Make a bank of room responses with pyroomacoustics (`pip install pyannote-drz[recipes]`).

python recipes/synthetic/make_rooms.py rooms.npz --rooms 200
pyannote-audio-train task.rooms=rooms.npz ...

Rooms are boxes: early reflections by the image method, the tail by ray tracing. Size,
reverberation time and distances are drawn from the ranges of the simulator's own model
(`pyannote_drz.simulation.RoomConfig`), so that the two can be compared or mixed.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyroomacoustics as pra
import typer

from pyannote_drz.simulation import RoomBank, RoomConfig
from pyannote_drz.simulation.checked_config import log_uniform, uniform
from pyannote_drz.simulation.slices import SAMPLE_RATE

MAX_ORDER = 3  # reflections by the image method; the rays do the others
HEIGHT_M = (2.4, 3.6)
ASPECT = (1.0, 2.0)  # length / width
WALL_M = 0.3  # nobody and no microphone is nearer to a wall
MICROPHONE_M = (0.7, 1.3)  # height: on a table
MOUTH_M = (1.1, 1.8)  # height: people who sit or stand
TRIES = 50  # for a place at the distance wanted; small rooms have none


def draw_box(rng: np.random.Generator, config: RoomConfig) -> tuple[np.ndarray, float]:
    """Draw (length, width, height) in m, and the share of energy that walls absorb."""
    while True:
        height = uniform(rng, HEIGHT_M)
        floor_m2 = log_uniform(rng, config.volume_m3) / height
        width = np.sqrt(floor_m2 / uniform(rng, ASPECT))
        size = np.array([floor_m2 / width, width, height])
        try:
            absorption, _ = pra.inverse_sabine(uniform(rng, config.rt60_s), size)
        except ValueError:  # no walls make so large a room so dry
            continue
        return size, absorption


def draw_place(
    rng: np.random.Generator, size: np.ndarray, microphone: np.ndarray, config: RoomConfig
) -> np.ndarray:
    """Draw where a mouth is, (3,) in m: at a log-uniform distance, if the room is large enough."""
    low, high = np.full(3, WALL_M), size - WALL_M
    low[2], high[2] = MOUTH_M
    for _ in range(TRIES):
        angle, distance = rng.uniform(0, 2 * np.pi), log_uniform(rng, config.distance_m)
        rise = rng.uniform(*MOUTH_M) - microphone[2]
        reach = np.sqrt(max(distance**2 - rise**2, 0.0))  # on the floor
        place = microphone + [reach * np.cos(angle), reach * np.sin(angle), rise]
        if (place >= low).all() and (place <= high).all():
            return place
    return rng.uniform(low, high)


def make_room(rng: np.random.Generator, config: RoomConfig, num_places: int) -> np.ndarray:
    """Responses of one room from `num_places` mouths to one microphone, (places, samples)."""
    size, absorption = draw_box(rng, config)
    low, high = np.full(3, WALL_M), size - WALL_M
    low[2], high[2] = MICROPHONE_M
    microphone = rng.uniform(low, high)
    room = pra.ShoeBox(
        size, fs=SAMPLE_RATE, materials=pra.Material(absorption), max_order=MAX_ORDER,
        ray_tracing=True, air_absorption=True,
    )  # fmt: skip
    room.add_microphone(microphone)
    places = [draw_place(rng, size, microphone, config) for _ in range(num_places)]
    for place in places:
        room.add_source(place)
    room.compute_rir()
    num_samples = int(config.rt60_s[1] * SAMPLE_RATE)
    responses = np.zeros((num_places, num_samples), np.float32)
    for row, (place, response) in enumerate(zip(places, room.rir[0])):
        # The direct sound, less the flank of its interpolation filter, becomes the first sample.
        distance_m = np.linalg.norm(place - microphone)
        late = distance_m / room.c * SAMPLE_RATE + pra.constants.get("frac_delay_length") // 2
        part = response[max(int(late) - 4, 0) :][:num_samples]
        responses[row, : len(part)] = part
    return responses


def main(
    path: Annotated[Path, typer.Argument(help="NPZ file to write")],
    rooms: Annotated[int, typer.Option(min=1)] = 200,
    places: Annotated[int, typer.Option(min=1, help="mouths in each room")] = 9,
    seed: int = 0,
):
    if not path.parent.is_dir():
        raise typer.BadParameter(f"folder '{path.parent}' does not exist.")
    rng, config = np.random.default_rng(seed), RoomConfig()
    pra.random.seed(seed)  # of the rays
    with typer.progressbar(range(rooms)) as numbers:
        responses = [make_room(rng, config, places) for _ in numbers]
    bank = RoomBank(np.concatenate(responses), np.repeat(np.arange(rooms), places))
    bank.save(path)
    print(f"{path}: {rooms} rooms, {places} places each, {path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    typer.run(main)
