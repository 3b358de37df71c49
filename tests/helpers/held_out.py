"""Holding out of several documents at once."""

from finecl_hf.data.held_out import HeldOutPairs


def exclude(documents, held_out):
    """What holding out leaves of some documents, and how many facts went."""
    held_out = held_out if isinstance(held_out, HeldOutPairs) else HeldOutPairs(held_out)
    stripped = [held_out.strip(document) for document in documents]
    return [rest for rest, _ in stripped if rest is not None], sum(removed for _, removed in stripped)
