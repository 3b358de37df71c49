"""Stage 1: training on silver labels, the record of when each was learned, and what is made of it.

`report`, `cleaning`, `charts` and `excerpts` work on a table and documents alone and start without torch.
"""
