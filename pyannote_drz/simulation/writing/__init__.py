"""Simulated corpora on the disk: a simulator and a seed come in, folders of audio and RTTM go out.

`corpus` says what a corpus consists of, `encoding` writes its files, and `workers` share the work
among processes.
"""
