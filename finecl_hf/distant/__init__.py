"""Distant supervision: a knowledge base and documents become silver labels.

The join runs in DuckDB, in SQL, so that a table may be larger than memory. Imports no torch.
"""
