"""How it sounds: speech that is laid out comes in, what a microphone hears goes out.

`rooms` reverberate (`room_bank`: measured or computed responses), `noises` are added, `silences`
are what is between turns, and `channels` are microphones, lines and codecs. Each draws its own
parameters from its own configuration.
"""
