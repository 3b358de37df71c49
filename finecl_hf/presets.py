"""Recipes of stage 1: what `--preset` puts in place of the defaults."""

from __future__ import annotations

from typing import Any


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "loss": "bce",
        "na_ratio": 3.0,
        "num_train_epochs": 15,
        "learning_rate": 4e-5,
        "per_device_train_batch_size": 32,
        "warmup_steps": 0.1,
        "order_mode": "batch",
    },
    # Documents labelled by projection, a few thousand labels or more: see docs/denoising.md
    "projected": {
        "hide_names": "type",
        "attention_dropout": 0.0,
        "loss": "softmax",
        "na_ratio": 3.0,
        "num_train_epochs": 5,
        "learning_rate": 1e-4,
        "head_learning_rate": 1e-3,
        "per_device_train_batch_size": 8,
    },
}
