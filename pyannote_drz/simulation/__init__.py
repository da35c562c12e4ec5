"""Simulated conversations: scripts of turns, voices, rooms, noise, and the mixing of it all."""

from .acoustics.channels import ChannelConfig
from .acoustics.noises import NoiseBank, NoiseConfig
from .acoustics.room_bank import RoomBank
from .acoustics.rooms import RoomConfig
from .acoustics.silences import SilenceConfig
from .config import PromptConfig, SimulationConfig
from .mixing import Batch, Conversation, Simulator
from .speakers.voices import VoiceBank, VoiceFile
from .turn_taking.fitted import FittedTurns
from .turn_taking.monologues import LoneTurns, MonologueTurns, other_kinds
from .turn_taking.turns import BoundedTurns, MixedTurns, RandomTurns, ReplayedTurns, Turn, read_rttm

__all__ = [
    "Batch",
    "BoundedTurns",
    "ChannelConfig",
    "Conversation",
    "FittedTurns",
    "LoneTurns",
    "MixedTurns",
    "MonologueTurns",
    "NoiseBank",
    "NoiseConfig",
    "PromptConfig",
    "RandomTurns",
    "ReplayedTurns",
    "RoomBank",
    "RoomConfig",
    "SilenceConfig",
    "SimulationConfig",
    "Simulator",
    "Turn",
    "VoiceBank",
    "VoiceFile",
    "other_kinds",
    "read_rttm",
]
