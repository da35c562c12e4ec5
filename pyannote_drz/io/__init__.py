"""What comes in and what goes out, but for models.

In: recordings of any format (`audio`, over `sounds` and `containers`; `longs` from the disk,
`mixing` of channels), texts with columns, names, configuration that is `checked`; what cannot be
used is told by `errors`.
Out: files that are complete or absent (`drafts`), and never over an input (`outputs`).
Nothing here knows of models, and nothing imports torch before it is needed.
"""
