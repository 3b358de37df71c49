"""What `--model_name_or_path` names, and how much of it goes on: an encoder, or a relation model with its head."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from finecl_hf.data.documents import NA
from finecl_hf.encoding.encoders import loading_from
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import is_adapter
from finecl_hf.extraction.base_encoder import describe_base
from finecl_hf.extraction.configuration import FITTED, FineCLConfig
from finecl_hf.extraction.loading import load_encoder, load_relation_model
from finecl_hf.extraction.modeling import FineCLForRelationExtraction
from finecl_hf.training.arguments import ModelArguments


logger = logging.getLogger(__name__)

# What must be equal for a head to go on; and its sizes, which no flag sets and whose defaults may change
_HEAD = ("label2id", "task", "head", "mixed_layers")
_SIZES = ("entity_size", "distance_size", "block_size", "head_size", "type_size")


@dataclass
class StartingPoint:
    """What training starts from. Nothing of its weights is loaded yet.

    Attributes:
        model: the arguments, with what was not given filled in from a relation model.
        relation_model: the configuration of the relation model (or adapter) that lies there; None for an encoder.
        hidden_size: of the encoder, where its configuration tells.
    """

    model: ModelArguments
    relation_model: FineCLConfig | None
    hidden_size: int | None = None

    @classmethod
    def of(cls, model: ModelArguments, task: str | None = None) -> StartingPoint:
        """Looks at the configuration, and completes the arguments.

        Args:
            task: what a new head is for; sentences have markers by default.

        Raises:
            FineCLError: nothing can be loaded from there.
        """
        name, options = model.model_name_or_path, {"revision": model.model_revision}
        with loading_from(name, "--model_name_or_path"):
            raw, _ = PreTrainedConfig.get_config_dict(name, **options)
            if raw.get("onnx"):
                raise FineCLError(
                    f"{name}: an ONNX export cannot be trained or evaluated; name the model that it was made from."
                )
            if is_adapter(name, **options) or raw.get("model_type") == FineCLConfig.model_type:
                config = FineCLConfig.of_relation_model(name, **options)
            else:
                config = None
        before = config or FineCLConfig(entity_markers="typed" if task == "sentence" else "none")
        model.entity_markers = model.entity_markers or before.entity_markers
        model.hide_names = model.hide_names or before.hide_names
        if config is not None and model.max_seq_length is None:
            model.max_seq_length = config.max_seq_length
        return cls(model, config, _width(raw))

    @property
    def relation_names(self) -> dict[str, str]:
        """Readable names that the relation model knows."""
        return (self.relation_model.relation_names if self.relation_model else None) or {}

    def label_set(self, relations: Iterable[str], rel_info: str | None) -> dict[str, int] | None:
        """The relation model's own label set, where nobody gave one and it knows all relations of the corpus."""
        known = self.relation_model.label2id if self.relation_model else {}
        return known if rel_info is None and {*relations, NA} <= known.keys() else None

    def settle_markers(self, entity_types: Sequence[str]) -> None:
        """Takes `punct` markers for `typed` ones where the training documents have no types: they look the same there,
        but in raw text a recogniser's types would stand in them, which a new model has never seen."""
        if self.relation_model is None and self.model.entity_markers == "typed" and not entity_types:
            self.model.entity_markers = "punct"

    def load(self, config: FineCLConfig, keep_type_constraints: bool = True) -> FineCLForRelationExtraction:
        """The relation model that is trained: that which lies there, where its head fits, else a new head.

        Args:
            config: what is wanted; of a model that goes on, the threshold stays, and the encoder's own configuration.
            keep_type_constraints: whether those of a model that goes on stay, too.
        """
        model, before = self.model, self.relation_model
        differing = [] if before is None else [
            name for name in _HEAD if getattr(before, name) != getattr(config, name)
        ]  # fmt: skip
        if before is None or differing:
            if differing:
                logger.warning(
                    "%s is a relation model with another %s: its encoder goes on, its head starts anew.",
                    model.model_name_or_path, " and ".join(differing).replace("label2id", "label set"),
                )  # fmt: skip
            return self.load_with_new_head(config)
        for name in ("entity_markers", "hide_names", "loss"):
            if getattr(before, name) != getattr(config, name):
                logger.warning(
                    "--%s %s: the relation model that goes on was trained with %s.",
                    name, getattr(config, name), getattr(before, name),
                )  # fmt: skip
        relation_model = load_relation_model(model.model_name_or_path, model.torch_dtype, **self._options)
        config.text_config = relation_model.encoder.config
        # What the head that goes on has rows for, and what was fitted to it
        kept = [*_SIZES, "entity_types", "num_prototypes", "num_neighbours", "prototype_temperature", *FITTED]
        kept += [] if config.label_priors else ["label_priors"]
        for name in [*kept, "type_constraints"] if keep_type_constraints else kept:
            setattr(config, name, getattr(before, name))
        config.base_encoder = describe_base(model.model_name_or_path, model.model_revision, relation_model.encoder)
        relation_model.config = config
        logger.info("%s goes on: its encoder, head and threshold.", model.model_name_or_path)
        return relation_model

    def load_with_new_head(self, config: FineCLConfig) -> FineCLForRelationExtraction:
        """A relation model on the encoder that lies there."""
        return FineCLForRelationExtraction.from_encoder(
            self.model.model_name_or_path, config, self.model.torch_dtype, **self._options
        )

    def load_encoder(self) -> PreTrainedModel:
        """The encoder alone."""
        return load_encoder(self.model.model_name_or_path, self.model.torch_dtype, **self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return {**self.model.encoder_options, "base_model": self.model.base_model}


def _width(raw: dict[str, Any]) -> int | None:
    """The hidden size in a configuration, under any of the names that architectures have for it."""
    encoder = raw.get("text_config") if isinstance(raw.get("text_config"), dict) else raw
    sizes = (encoder.get(name) for name in ("hidden_size", "dim", "d_model"))
    return next((size for size in sizes if isinstance(size, int) and size > 0), None)
