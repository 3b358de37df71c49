"""Model cards and the Markdown in them.

A card states what a run did; it reads no data and imports no torch.
Templates lie in `model_cards/` beside the package.
"""
