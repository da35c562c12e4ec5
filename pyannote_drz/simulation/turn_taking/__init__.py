"""Who speaks when: reference turns or parameters come in, scripts of `Turn`s go out; no sound here.

`turns` has turns and the plain generators, `monologues` those of few speakers. `fitting` counts the
states (`states`) and `transitions` of real conversations into a `turn_model`, and `fitted` draws
from it; `statistics` compares what was drawn with what was counted.
"""
