"""The `evaluate` module `docred_f1`; load it with `evaluate.load(finecl_hf.metrics.docred_f1_path())`."""
