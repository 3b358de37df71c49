"""Modules for `evaluate.load`, each a thin face of `finecl_hf.metrics`."""
