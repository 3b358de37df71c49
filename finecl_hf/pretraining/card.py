"""Facts for the model card of an encoder."""

from __future__ import annotations

import os

from finecl_hf.cards.model_card import FineCLCardData, TrainingData
from finecl_hf.encoding.feature_table import Truncation
from finecl_hf.learning_order.weights import Coverage
from finecl_hf.training.arguments import FineCLTrainingArguments, ModelArguments
from finecl_hf.training.scripts import run_card


def encoder_card(
    model_args: ModelArguments,
    args: FineCLTrainingArguments,
    data: TrainingData,
    max_length: int,
    truncation: Truncation | None = None,
    coverage: Coverage | None = None,
) -> FineCLCardData:
    """Facts known before training, for the card of an encoder; a stream does not know the last two."""
    return run_card(
        "encoder",
        model_args,
        args,
        data,
        max_length,
        truncation,
        learning_order=os.path.basename(args.learning_order) if args.learning_order else None,
        learning_order_coverage=coverage.share if coverage else None,
        weight_scheme=args.weight_scheme,
        weight_by=args.weight_by if args.learning_order else None,
    )
