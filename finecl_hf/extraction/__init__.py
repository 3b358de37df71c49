"""Stage 3: the relation model, its predictions and pipeline, and the trainer that fine-tunes it.

`configuration`, `modeling`, `predictions` and `pipeline` are what inference needs: they never import training code.
"""
