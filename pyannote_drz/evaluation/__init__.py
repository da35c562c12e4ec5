"""How good a diarization is: references and hypotheses come in, diarization error rates go out.

`evaluate` scores what `systems` (a pipeline, somebody's RTTM, a peer) answer on protocols of
pyannote.database, beside baselines; `overlaps` finds where several speakers are active.
The command keeps its name: `python -m pyannote_drz.evaluate`.
"""
