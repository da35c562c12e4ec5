"""Mixing: conversations drawn as small data on the CPU, rendered in batches on any device."""

from dataclasses import dataclass

import numpy as np
import torch

from .acoustics.channels import clip_peaks, draw_channel, draw_lines, send, transmit
from .acoustics.noises import NoiseBank, NoiseStyle, add_noise, draw_noise, draw_style
from .acoustics.room_bank import RoomBank
from .acoustics.rooms import convolve, draw_room
from .acoustics.silences import draw_silences, silence
from .checked_config import log_uniform, uniform
from .config import MAX_CAST, MAX_SPEAKERS, SimulationConfig
from .scenes import WHOLE_SAMPLES, Scene, margin_s, windows
from .slices import FADE, SAMPLE_RATE, lay, on_device
from .speakers.casting import Utterances, as_slices, choose_source, choose_voices, needed_s
from .speakers.voices import VoiceBank
from .turn_taking.turns import Turn, TurnSource

# Samples of one kind of track rendered at once: a CPU's caches want few, a GPU's cores many.
BLOCK_SAMPLES = {"cpu": 2**20, "cuda": 2**25}
MAX_DURATION_S = 4 * 3600.0  # of a conversation: 1 GB of samples
MAX_CROSSTALK = 2  # voices that may sound together on the bleed track, see `lay`


@dataclass
class Conversation:
    """A conversation before it is rendered: small, and all of it drawn from `seed`.

    Attributes
    ----------
    turns : list of Turn
        The reference.
    voices : ndarray
        (K,) speaker in the bank of every conversation speaker: the script's in order of arrival,
        then people who are prompted and absent.
    chunk : Scene
    prompts : list of Scene
    prompted : list of int
        Conversation speaker of every prompt.
    reused_s : float
        Seconds of speech that had to be heard twice because no voice was long enough.
    """

    seed: int
    duration_s: float
    turns: list[Turn]
    voices: np.ndarray
    chunk: Scene
    prompts: list[Scene]
    prompted: list[int]
    reused_s: float


@dataclass
class Batch:
    """Rendered conversations: audio on the device, what goes with it on the CPU, where targets are
    made of it without waiting for the audio.

    Attributes
    ----------
    waveforms : Tensor
        (batch, samples) float32 at 16 kHz within -1..1.
    turns : list of list of Turn
        Reference of every conversation.
    voices : Tensor
        (batch, K) int64 speaker in the bank of every conversation speaker, -1 for padding.
    prompts : Tensor
        (batch, num_prompts, prompt_samples) float32, zero padded.
    prompt_lengths : Tensor
        (batch, num_prompts) int64, in samples, 0 where there is no prompt.
    prompted : list of list of int
        Conversation speaker of every prompt.
    """

    waveforms: torch.Tensor
    turns: list[list[Turn]]
    voices: torch.Tensor
    prompts: torch.Tensor
    prompt_lengths: torch.Tensor
    prompted: list[list[int]]


class Simulator:
    """Makes conversations without end.

    Parameters
    ----------
    bank : VoiceBank
    turns : TurnSource
        Anything with `sample(rng, duration_s)`, see `turns.py`.
    config : SimulationConfig
    noises : NoiseBank, optional
        Without it no recorded noise is heard.
    rooms : RoomBank, optional
        Without it all rooms are the statistical model's.
    """

    def __init__(
        self,
        bank: VoiceBank,
        turns: TurnSource,
        config: SimulationConfig,
        noises: NoiseBank | None = None,
        rooms: RoomBank | None = None,
    ):
        self.bank, self.turns, self.config = bank, turns, config
        self.noises, self.rooms = noises, rooms
        self._tables: dict[str, tuple[torch.Tensor | None, ...]] = {}  # per device

    def __getstate__(self) -> dict:
        """Leave what lies on devices behind: workers only draw."""
        return {**self.__dict__, "_tables": {}}

    def draw(self, rng: np.random.Generator, duration_s: float, with_prompts: bool) -> Conversation:
        """Draw a conversation; touches no audio.

        Raises
        ------
        ValueError
            If the duration is not in 0..4 h, or the script wants more speakers than there are
            letters or voices.
        """
        if not 0 < duration_s <= MAX_DURATION_S:
            raise ValueError(
                f"duration_s must be positive and at most {MAX_DURATION_S:g} s, not {duration_s}."
            )
        config, bank = self.config, self.bank
        seed = int(rng.integers(2**63))
        rng = np.random.default_rng(seed)
        num_samples = round(duration_s * SAMPLE_RATE)
        turns = [] if rng.random() < config.empty_share else self.turns.sample(rng, duration_s)
        channel = draw_channel(rng, config.channel)
        turns, silences = draw_silences(
            rng, config.silences, turns, duration_s, bool(channel["telephone"][0])
        )
        present = 1 + max((turn.speaker for turn in turns), default=-1)
        most = MAX_SPEAKERS if with_prompts else MAX_CAST
        if present > most:
            raise ValueError(f"a script has {present} speakers; at most {most} can be told.")
        absent, prompted, prompt_s = 0, [], {}
        if with_prompts:
            room = min(MAX_SPEAKERS, len(bank)) - present
            while absent < room and rng.random() < config.prompts.absent_share:
                absent += 1
            chosen = np.flatnonzero(rng.random(present) < config.prompts.present_share).tolist()
            prompted = rng.permutation(chosen + list(range(present, present + absent))).tolist()
            lengths = [log_uniform(rng, config.prompts.seconds) for _ in prompted]
            shrink = min(1.0, config.prompts.total_s / max(sum(lengths), 1e-9))
            prompt_s = {s: max(n * shrink, config.prompts.seconds[0])
                        for s, n in zip(prompted, lengths)}  # fmt: skip
            while sum(prompt_s.values()) > config.prompts.total_s:  # many at the shortest length
                prompt_s[max(prompt_s, key=prompt_s.__getitem__)] *= 0.9

        needs = needed_s(turns, present + absent)
        wanted = [need + prompt_s.get(s, 0.0) for s, need in enumerate(needs)]
        source = None
        if wanted and rng.random() < config.same_source:
            source = choose_source(bank, wanted, rng)
        similar = bank.likeness is not None and rng.random() < config.similar_share
        voices = choose_voices(bank, wanted, source, [], rng, similar)
        utterances = [self._utterances(voice, rng) for voice in voices]
        levels = (10 ** (rng.normal(0.0, config.level_sd_db, len(voices)) / 20)).tolist()

        rows: list[tuple] = []
        for turn in turns:
            begin, end = round(turn.start_s * SAMPLE_RATE), round(turn.end_s * SAMPLE_RATE)
            its, level = utterances[turn.speaker], levels[turn.speaker]
            rows += its.fill(begin, min(end, num_samples), turn.speaker, level)
        bleeds = self._draw_bleeds(rng, num_samples, voices, present)
        # everybody's place, then the bleeds'
        places = draw_room(rng, config.rooms, len(voices), 1, bank=self.rooms)
        lines = draw_lines(rng, config.channel, channel, len(places))
        style = draw_style(rng, config.noise, self.noises, alone=not turns)
        heard = [*range(present), len(voices)]
        chunk = Scene(
            as_slices(rows + bleeds),
            places[heard],
            lines[heard],
            draw_noise(rng, style, config.noise, self.noises, num_samples),
            channel,
            silences,
            num_samples,
        )
        if not turns:  # what sounds alone may drown a prompt
            style = draw_style(rng, config.noise, self.noises)
        reused_s = sum(its.reused_s for its in utterances)

        prompts, kept = [], []
        for its in utterances:
            its.keep_unheard()
        for speaker in prompted:
            if utterances[speaker].unheard_s() < config.prompts.seconds[0]:
                continue  # the chunk holds all this voice has
            spoken = utterances[speaker].recite(prompt_s[speaker], 0, levels[speaker])
            length = max(position + taken for _, taken, position, *_ in spoken)
            prompts.append(
                self._draw_prompt(rng, spoken, length, speaker, utterances, levels, places,
                                  lines, style, channel)
            )  # fmt: skip
            kept.append(speaker)
        # Absent people whose prompt was dropped are nobody: the others move up.
        people = [*range(present), *(s for s in range(present, present + absent) if s in kept)]
        return Conversation(
            seed,
            duration_s,
            turns,
            np.array([voices[s] for s in people], dtype=np.int64),
            chunk,
            prompts,
            [people.index(speaker) for speaker in kept],
            reused_s,
        )

    def _utterances(self, voice: int, rng: np.random.Generator) -> Utterances:
        return Utterances(self.bank, voice, rng, self.config.join_s, self.config.piece_sd_db)

    def _draw_bleeds(
        self, rng: np.random.Generator, num_samples: int, taken: list[int], track: int
    ) -> list[tuple]:
        """Distant voices now and then: rows of SLICE on one track."""
        config, rows = self.config, []
        if rng.random() >= config.bleed_share or len(self.bank) == len(taken):
            return rows
        free = np.delete(np.arange(len(self.bank)), taken)
        count = int(rng.integers(int(config.bleed_voices[0]), int(config.bleed_voices[1]) + 1))
        per_s = uniform(rng, config.bleed_per_s)
        cast = rng.choice(free, count)
        utterances = [self._utterances(int(voice), rng) for voice in cast]
        levels = [10 ** (uniform(rng, config.bleed_db) / 20) for _ in utterances]
        ends = [0] * MAX_CROSSTALK  # of the pieces that sound
        position = 0
        while True:
            position += int(rng.exponential(1 / per_s) * SAMPLE_RATE)
            lane = int(np.argmin(ends))
            position = max(position, ends[lane])
            if position >= num_samples:
                return rows
            k = int(rng.integers(len(utterances)))
            piece, start, length = utterances[k].next(num_samples, position)
            utterances[k].used_at[piece] = position
            length = min(length, num_samples - position)
            gain = utterances[k].gain[piece] * levels[k]
            rows.append((start, length, position, track, gain, FADE, FADE))
            ends[lane] = position + length

    def _draw_prompt(
        self,
        rng: np.random.Generator,
        rows: list[tuple],
        length: int,
        speaker: int,
        utterances: list[Utterances],
        levels: list[float],
        places: np.ndarray,
        lines: np.ndarray,
        style: NoiseStyle,
        channel: np.ndarray,
    ) -> Scene:
        """Make a prompt of one voice's rows (track 0); another voice may come in on track 1."""
        config = self.config
        other = speaker
        if len(utterances) > 1 and rng.random() < config.prompts.contaminated_share:
            other = (speaker + int(rng.integers(1, len(utterances)))) % len(utterances)
            seconds = config.prompts.contamination * length / SAMPLE_RATE
            spoken = utterances[other].recite(seconds, 1, levels[other])
            shift = int(rng.integers(int((1 - config.prompts.contamination) * length) + 1))
            rows = rows + [(a, b, at + shift, *rest) for a, b, at, *rest in spoken]
        places, lines = places[[speaker, other]], lines[[speaker, other]]
        if rng.random() < config.prompts.other_room_share:
            places = draw_room(rng, config.rooms, 2, bank=self.rooms)
            style = draw_style(rng, config.noise, self.noises)
            channel = draw_channel(rng, config.channel)
            lines = draw_lines(rng, config.channel, channel, 2)
        longest = self._prompt_samples()
        noise = draw_noise(rng, style, config.noise, self.noises, longest)
        none = np.zeros((0, 2), dtype=np.int64)
        return Scene(as_slices(rows), places, lines, noise, channel, none, length)

    def _prompt_samples(self) -> int:
        return round(self.config.prompts.seconds[1] * SAMPLE_RATE) + 1

    @torch.no_grad()
    def render(self, conversations: list[Conversation], device: torch.device | str) -> Batch:
        """Render conversations of one duration.

        Raises
        ------
        ValueError
            If there is no conversation, or their durations differ.
        """
        device = torch.device(device)
        durations = {conversation.duration_s for conversation in conversations}
        if len(durations) != 1:
            raise ValueError(f"a batch needs conversations of one duration, not {durations}.")
        waveforms = self._render_scenes([c.chunk for c in conversations], device)
        rows = len(conversations)
        widest = max(len(c.prompts) for c in conversations)
        lengths = torch.zeros(rows, widest, dtype=torch.int64)
        scenes, at = [], []
        for row, conversation in enumerate(conversations):
            for k, scene in enumerate(conversation.prompts):
                scenes.append(scene)
                at.append(row * widest + k)
                lengths[row, k] = scene.num_samples
        longest = max((scene.num_samples for scene in scenes), default=0)
        prompts = torch.zeros(rows * widest, longest, device=device)
        if scenes:
            audio = self._render_scenes(scenes, device, self._prompt_samples())
            prompts[on_device(np.array(at), device)] = audio[:, :longest]
        prompts = prompts.view(rows, widest, longest)
        ends = on_device(lengths.numpy(), device)[:, :, None]
        prompts *= torch.arange(longest, device=device) < ends
        voices = torch.full((rows, max(len(c.voices) for c in conversations)), -1)
        for row, conversation in enumerate(conversations):
            voices[row, : len(conversation.voices)] = torch.from_numpy(conversation.voices)
        return Batch(
            waveforms,
            [c.turns for c in conversations],
            voices,
            prompts,
            lengths,
            [c.prompted for c in conversations],
        )

    def _render_scenes(
        self, scenes: list[Scene], device: torch.device, num_samples: int | None = None
    ) -> torch.Tensor:
        """Audio of the scenes, (scenes, num_samples), block by block; all of one length."""
        num_samples = num_samples or scenes[0].num_samples
        if num_samples > WHOLE_SAMPLES:
            return torch.stack([self._render_long(scene, device) for scene in scenes])
        per_block = max(1, BLOCK_SAMPLES.get(device.type, 2**22) // num_samples)
        if str(device) not in self._tables:
            noises = None if self.noises is None else self.noises.samples.to(device)
            banked = None if self.rooms is None else self.rooms.responses.to(device)
            self._tables[str(device)] = (self.bank.samples.to(device), noises, banked)
        voices, noises, banked = self._tables[str(device)]
        out = torch.empty(len(scenes), num_samples, device=device)
        for first in range(0, len(scenes), per_block):
            block = scenes[first : first + per_block]
            audio = out[first : first + per_block].zero_()
            counts = [len(scene.places) for scene in block]
            scene_of = np.repeat(np.arange(len(block)), counts)  # (places,)
            offset = np.cumsum(counts) - counts
            slices = np.concatenate([scene.slices for scene in block])
            place_of = slices["track"] + np.repeat(offset, [len(s.slices) for s in block])
            places = np.concatenate([scene.places for scene in block])
            lines = np.concatenate([scene.lines for scene in block])
            # A track of its own for everybody who is heard through a room or a line; on a GPU for
            # everybody who is heard, see `lay`. The others go straight to the scene's audio.
            own = np.zeros(len(places), dtype=bool)
            own[place_of] = True
            if device.type == "cpu":
                own &= places["wet"] | lines["own_line"]
            slices["track"] = np.where(own, np.cumsum(own) - 1, scene_of)[place_of]
            lay(voices, slices[~own[place_of]], audio)
            if own.any():
                tracks = torch.zeros(int(own.sum()), num_samples, device=device)
                lay(voices, slices[own[place_of]], tracks)
                response_samples = int(self.config.rooms.rt60_s[1] * SAMPLE_RATE)
                tracks = convolve(tracks, places[own], response_samples, banked)
                tracks = send(tracks, lines[own])
                parts = np.bincount(scene_of[own], minlength=len(block)).tolist()
                audio += torch.stack([part.sum(0) for part in tracks.split(parts)])
            add_noise(audio, [scene.noise for scene in block], noises)
            transmit(audio, np.concatenate([scene.channel for scene in block]))
            silence(audio, [scene.silences for scene in block])
        return out

    def _render_long(self, scene: Scene, device: torch.device) -> torch.Tensor:
        """Audio of a scene of any length, (num_samples,), window by window."""
        out = torch.empty(1, scene.num_samples, device=device)
        channel = scene.channel.copy()
        channel["clip"] = 1.0  # clipping asks for the peak of the whole: done at the end
        position = 0
        for part, keep in windows(scene._replace(channel=channel), margin_s(self.config)):
            kept = self._render_scenes([part], device)[0, keep]
            out[0, position : position + len(kept)] = kept
            position += len(kept)
        return clip_peaks(out, scene.channel)[0]
