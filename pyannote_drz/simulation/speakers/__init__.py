"""Whose speech it is: files of speakers come in, slices of utterances for each turn go out.

`voices` reads and keeps a corpus of speakers, `likeness` finds which of them sound alike, and
`casting` assigns speakers and their utterances to the turns of a script.
"""
