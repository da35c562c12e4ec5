"""Configuration: every parameter of the simulator, with its probability and range."""

from dataclasses import dataclass, field

from ..io.checked import Share, number, span
from ..io.errors import InputError
from .acoustics.channels import ChannelConfig
from .acoustics.noises import NoiseConfig
from .acoustics.rooms import RoomConfig
from .acoustics.silences import SilenceConfig
from .checked_config import CheckedConfig, Decibels, PerSecond
from .turn_taking.turns import MERGE_GAP_S

MAX_SPEAKERS = 8  # letters of the language (DESIGN §2)
MAX_CAST = 20  # people of a long conversation: chunks of it need letters, all of it does not


@dataclass(frozen=True)
class PromptConfig(CheckedConfig):
    """Parameters of the prompts (DESIGN §4)."""

    present_share: Share = 0.7  # of the chunk's speakers are prompted
    absent_share: Share = 0.4  # one more prompted speaker who is absent, as long as this comes up
    seconds: span(0.05, 60) = (0.5, 4.0)  # log-uniform
    total_s: number(0, 3600) = 16.0  # all prompts of a conversation
    other_room_share: Share = 0.2  # prompts from another room, noise and channel
    contaminated_share: Share = 0.15  # prompts that carry another voice
    contamination: Share = 0.2  # share of such a prompt's time

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.total_s < MAX_SPEAKERS * self.seconds[0]:
            raise InputError(
                f"total_s must hold {MAX_SPEAKERS} prompts of {self.seconds[0]} s, "
                f"not {self.total_s} s."
            )
        if self.absent_share == 1:
            raise InputError("absent_share must be under 1: absent speakers would never end.")


@dataclass(frozen=True)
class SimulationConfig(CheckedConfig):
    """All parameters of the simulator; levels in dB are relative to speech."""

    empty_share: Share = 0.04  # windows without speech; AMI's scripts have 1.2 % (ANCHORS §2.7)
    same_source: Share = 0.6  # conversations whose voices all come from one source (DATA.md)
    # With an encoder's embeddings of the bank's voices, conversations of people who sound alike:
    # strangers have a cosine of 0.3, two people of a real call 0.5 to 0.6 (issue 14).
    similar_share: Share = 0.5
    # Levels, rooms and noise: nearly as hard to hear as real audio (recipes/synthetic/judge.py).
    level_sd_db: number(0, 100) = 1.5  # between speakers; FastMSS draws -12..+5 dB (ANCHORS §2.7)
    # Inside turns, the quarter of AMI's frames (excerpts) lies 18 dB below the speaker's mean; read
    # speech without pauses gave 11 dB.
    # s of silence between pieces of a turn. Where PyanNet hears nobody for 0.5 to 0.85 s, real
    # references have a pause in 75 % of the time; with joins of up to 0.48 s ours had one in 17 to
    # 40 %, and the writer learnt to bridge pauses (recipes/synthetic/RUNS.md).
    join_s: span(0, MERGE_GAP_S) = (0.02, 0.25)
    piece_sd_db: number(0, 100) = 2.0  # of the level from piece to piece
    bleed_share: Share = 0.4  # windows with distant voices, which are not in the reference
    bleed_voices: span(1, 100) = (1.0, 4.0)
    bleed_per_s: PerSecond = (0.1, 1.2)  # pieces of such voices
    bleed_db: Decibels = (-45.0, -22.0)
    rooms: RoomConfig = field(default_factory=RoomConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    silences: SilenceConfig = field(default_factory=SilenceConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.join_s[1] == MERGE_GAP_S:
            raise InputError(
                f"join_s must be below {MERGE_GAP_S} s, not {self.join_s}: longer pauses end "
                f"a turn."
            )

    @classmethod
    def clean(cls) -> "SimulationConfig":
        """Nothing but equally loud voices through a perfect channel at -25 dBFS."""
        return cls(
            level_sd_db=0.0,
            piece_sd_db=0.0,
            bleed_share=0.0,
            rooms=RoomConfig(room_share=0.0),
            noise=NoiseConfig(floor_share=0.0, recorded_share=0.0, burst_share=0.0),
            channel=ChannelConfig(
                low_share=0.0, high_share=0.0, tilt_share=0.0, coarse_share=0.0, clip_share=0.0,
                telephone_share=0.0, level_db=(-25.0, -25.0),
            ),
            silences=SilenceConfig(silence_share=0.0, gate_share=0.0),
        )  # fmt: skip
