"""The relation model: an encoder, sparse entity pooling and a classifier over entity pairs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers.utils import ModelOutput

from finecl_hf.encoding.attention import EntityAttention
from finecl_hf.encoding.packing import Windows, enable_packing, encode
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapter_heads import AdapterHeads
from finecl_hf.extraction.adapters import is_adapter
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import HeadInputs, RelationHead, head_class
from finecl_hf.losses import PU_LOSSES, RELATION_LOSSES, evidence_loss, relation_loss, relation_targets


@dataclass
class RelationExtractionOutput(ModelOutput):
    """Output of [`FineCLForRelationExtraction`].

    Attributes:
        loss: scalar, where labels were given.
        logits: (P, R) for the batch's pairs; column 0 is NA.
        entities: (E, D) entity vectors, see [`~finecl_hf.extraction.heads.HeadInputs`].
        evidence: (P, S) share of each sentence in what shows a pair's relation, of heads that tell it.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    entities: torch.FloatTensor | None = None
    evidence: torch.FloatTensor | None = None


class FineCLPreTrainedModel(PreTrainedModel):
    config_class = FineCLConfig
    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, RelationHead):
            module.reset_parameters()

    @property
    def is_gradient_checkpointing(self) -> bool:
        """As in transformers, which warns of the old name wherever peft reads it."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self.modules())


class FineCLForRelationExtraction(AdapterHeads, FineCLPreTrainedModel):
    """Classifies entity pairs of documents or sentences; any encoder that `AutoModel` loads.

    Use [`from_encoder`] to start from an encoder, [`from_pretrained`] to load a fine-tuned model or an adapter.
    """

    def __init__(self, config: FineCLConfig, encoder: PreTrainedModel | None = None):
        super().__init__(config)
        losses = [*RELATION_LOSSES, *PU_LOSSES]
        if config.loss not in losses:  # which may be a list, in a damaged configuration
            raise FineCLError(f'there is no loss "{config.loss}"; losses: {", ".join(losses)}.')
        config.check()
        if config.loss in PU_LOSSES and config.label_priors is None:
            raise FineCLError(
                f'the loss "{config.loss}" has to know how many labels are missing; give the configuration '
                "label_priors=extraction.label_priors.label_priors(None, train_documents)."
            )
        head = head_class(config.head)
        self.encoder = (
            encoder if encoder is not None else AutoModel.from_config(config.text_config, trust_remote_code=False)
        )
        enable_packing(self.encoder, head.reads_attention)
        self.relation_head = head(config)
        self.make_trainable()
        self.post_init()

    @classmethod
    def from_encoder(
        cls,
        name_or_path: str,
        config: FineCLConfig,
        dtype: torch.dtype = torch.float32,
        **kwargs,
    ) -> FineCLForRelationExtraction:
        """A relation model with a new head on a pre-trained encoder (a plain one, or one with an MLM head).

        Args:
            name_or_path: folder or Hub id of the encoder.
            config: label set and head; its `text_config` is replaced by the encoder's own.
            dtype: float32 by default, whatever precision the checkpoint is stored in.
            kwargs: see [`~finecl_hf.extraction.loading.load_encoder`], such as `revision`.
        """
        from finecl_hf.extraction.base_encoder import describe_base
        from finecl_hf.extraction.loading import load_encoder

        encoder = load_encoder(name_or_path, dtype, **kwargs)
        config.text_config = encoder.config
        config.base_encoder = describe_base(name_or_path, kwargs.get("revision"), encoder)
        return cls(config, encoder=encoder).to(dtype)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | None, *args: Any, **kwargs: Any):
        """As of any model of transformers; of an adapter, on the encoder that it was trained on, not merged with it;
        of an ONNX export, with an encoder that onnxruntime runs.

        Raises:
            FineCLError: no relation model lies there.
        """
        config = kwargs.get("config")
        if pretrained_model_name_or_path is not None and config is None:
            name = os.fspath(pretrained_model_name_or_path)
            config = FineCLConfig.of_relation_model(name, **kwargs)
            if not args and is_adapter(name, **kwargs):
                from finecl_hf.extraction.loading import load_relation_model

                return load_relation_model(name, merge=False, **kwargs)
        wants_info = kwargs.pop("output_loading_info", False)
        if getattr(config, "onnx", None):
            from finecl_hf.extraction.onnx_encoder import load_export

            model = load_export(pretrained_model_name_or_path, **kwargs)
            return (model, {"missing_keys": []}) if wants_info else model
        model, info = super().from_pretrained(pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs)
        if missing := sorted(name for name in info["missing_keys"] if "pooler" not in name):
            raise FineCLError(
                f"{pretrained_model_name_or_path}: the weights lack {len(missing)} of the tensors that config.json "
                f"asks for, such as {missing[0]}; they belong to another configuration, or are damaged."
            )
        return (model, info) if wants_info else model

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoModel") -> None:
        """Nothing: `save_pretrained` writes the code of all classes."""

    def make_trainable(self) -> None:
        """Lets all weights learn but those of the encoder's pooler, which has no part in this: DDP and FSDP take a
        parameter without a gradient for a mistake."""
        self.requires_grad_(True)
        if isinstance(getattr(self.encoder, "pooler", None), nn.Module):
            self.encoder.pooler.requires_grad_(False)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_index: torch.Tensor,
        token_weight: torch.Tensor,
        entity_offsets: torch.Tensor,
        pairs: torch.Tensor,
        distances: torch.Tensor,
        mention_offsets: torch.Tensor | None = None,
        mention_entity: torch.Tensor | None = None,
        entity_type: torch.Tensor | None = None,
        window_index: torch.Tensor | None = None,
        window_lengths: list[int] | None = None,
        sentence: torch.Tensor | None = None,
        evidence_pair: torch.Tensor | None = None,
        evidence_sentence: torch.Tensor | None = None,
        label_pair: torch.Tensor | None = None,
        label_relation: torch.Tensor | None = None,
        fact_key: torch.Tensor | None = None,
        pair_counts: list[int] | None = None,
        entity_counts: list[int] | None = None,
        keys: torch.Tensor | None = None,
        pair_weight: torch.Tensor | None = None,
    ) -> RelationExtractionOutput:
        """Arguments: see [`~finecl_hf.encoding.batches.RelationBatch`]. A whole batch may be passed: what comes after
        the labels is for hooks and callbacks, and without influence here, but for the weights of pairs."""
        head, config = self.relation_head, self.encoder.config.get_text_config()
        attention = None
        if head.reads_attention:
            attention = EntityAttention.of_entities(
                token_index, token_weight, entity_offsets, entity_counts, input_ids.shape
            )
        windows = Windows(window_index, window_lengths) if window_index is not None else None
        hidden, _ = encode(
            self.encoder, config, input_ids, attention_mask, windows, attention, head.layer_weights
        )  # (B, L, D)
        inputs = HeadInputs(
            hidden, token_index, token_weight, entity_offsets, mention_offsets, mention_entity, entity_type, pairs,
            distances, pair_counts, entity_counts, attention.result() if attention is not None else None,
            sentence,
        )  # fmt: skip
        logits = head(inputs)
        loss = None
        if label_pair is not None:
            targets = relation_targets(label_pair, label_relation, *logits.shape)
            loss = relation_loss(self.config.loss, logits, targets, self.config.shares, pair_weight)
            if inputs.evidence is not None and evidence_pair is not None:
                told = evidence_loss(inputs.evidence, evidence_pair, evidence_sentence)
                loss = loss + self.config.evidence_weight * told
        return RelationExtractionOutput(loss=loss, logits=logits, entities=inputs.entities, evidence=inputs.evidence)


AutoModel.register(FineCLConfig, FineCLForRelationExtraction)
