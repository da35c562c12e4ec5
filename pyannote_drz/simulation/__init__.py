"""Simulated conversations: scripts of turns, voices, rooms, noise, and the mixing of it all."""

from .channels import ChannelConfig
from .config import PromptConfig, SimulationConfig
from .fitted import FittedTurns
from .mixing import Batch, Conversation, Simulator
from .monologues import LoneTurns, MonologueTurns, other_kinds
from .noises import NoiseBank, NoiseConfig
from .room_bank import RoomBank
from .rooms import RoomConfig
from .silences import SilenceConfig
from .turns import BoundedTurns, MixedTurns, RandomTurns, ReplayedTurns, Turn, read_rttm
from .voices import VoiceBank, VoiceFile

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
