"""What goes with a model's weights: its card, with the Markdown in it, and the code that loads it elsewhere.

A card states what a run did; nothing here reads data or imports torch.
Templates lie in `model_cards/` beside the package.
"""
