"""Facts for the model card of an encoder."""

from __future__ import annotations

import os

from finecl_hf.cards.model_card import FineCLCardData, TrainingData
from finecl_hf.data.hub_datasets import is_dataset
from finecl_hf.encoding.feature_table import Truncation
from finecl_hf.learning_order.weights import Coverage
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.training.arguments import ModelArguments
from finecl_hf.training.scripts import run_card


def encoder_card(
    model_args: ModelArguments,
    args: PretrainArguments,
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
        learning_order=_name_of(args.learning_order) if args.learning_order else None,
        learning_order_coverage=coverage.share if coverage else None,
        weight_scheme=args.weight_scheme,
        weight_by=args.weight_by if args.learning_order else None,
        loss_weights={"rd": args.rd_weight, "ed": args.ed_weight, "mlm": args.mlm_weight},
        blank_share=args.blank_share,
        drop_share=args.drop_share if args.learning_order else 0.0,
    )


def _name_of(order: str) -> str:
    """The id of a dataset on the Hub, or the name of a file."""
    return order if is_dataset(order) else os.path.basename(order)
