"""A made-up corpus whose noise is known, flipped labels, and a small random encoder.

For the quickstart, tests and benchmarks: the stages never import it. Only `encoder` imports torch.
"""
