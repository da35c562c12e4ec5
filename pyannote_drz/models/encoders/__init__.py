"""Two open, frozen encoders: what the transformer hears, and who it sounds like.

    waveform -> PyanNet of segmentation-3.0   who of up to three local speakers is active, at 50 Hz
             -> CAM++                         speaker embeddings of 192, at 12.5 Hz

`FeatureEncoder` makes `Features` of both, once per second of audio.
"""

from .features import FeatureEncoder, Features

__all__ = ["FeatureEncoder", "Features"]
