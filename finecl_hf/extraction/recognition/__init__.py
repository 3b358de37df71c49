"""From raw text to documents whose entities are marked: recognisers, gazetteers, and which mentions are one entity.

Needs no training code, and no recogniser's library but that of the one it is given.
"""
