"""What the three scripts share: arguments, loading, one base Trainer, checkpoints, signals.

Private hooks of other libraries that have no public twin lie in `private_hooks` and `fsdp`, with the reason.
"""
