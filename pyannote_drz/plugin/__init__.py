"""Our place in pyannote.audio, none of which is the idea.

`registration` lists our task and model in pyannote.audio's namespaces, `telemetry` keeps them out
of its statistics, and `moved` lets the names that modules had before go on working.
"""
