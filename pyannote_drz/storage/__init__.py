"""Models on the disk: a folder or a checkpoint comes in, a model goes out, and back.

`weights` is our form, two files in which nothing can run; `pickled` reads checkpoints of training
without running them; `sources` finds out which of them a name means; `budget` bounds the memory
that a description may ask for.
"""
