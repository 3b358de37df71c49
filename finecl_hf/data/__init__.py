"""Documents: their schema, every file format, the corpus on disk, held-out entity pairs.

Nothing here knows of tokens, labels' trust or training, and nothing imports torch. A new file format is a module in
`formats`.
"""
