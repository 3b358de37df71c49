"""Stage 3: the relation model, its predictions and pipeline, and the trainer that fine-tunes it.

`configuration`, `modeling`, `heads`, `predictions` and `pipeline` are what inference needs, `embedder` and
`prototypes` what extraction without training needs: they never import training code.
"""
