"""From documents to vectors: words, tokens, batches, packed attention, entities.

What all three stages need between a document and an encoder's output, and nothing of losses or labels' trust.
"""
