"""LoRA adapters for the relation model: adapters in the encoder, the relation head trained in full."""

from __future__ import annotations

from peft import LoraConfig, PeftModel, get_peft_model

from finecl_hf.modeling import FineCLForRelationExtraction


def add_adapters(
    model: FineCLForRelationExtraction, encoder: str, r: int = 16, alpha: int = 32, dropout: float = 0.05
) -> PeftModel:
    """Freezes the encoder and puts adapters on its linear layers; the head stays trainable and is saved with them.

    Args:
        encoder: folder or Hub id the encoder came from; the adapter's config names it for whoever loads it.
    """
    config = LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        exclude_modules=r".*\.pooler\..*",  # entity pooling makes no use of it
        modules_to_save=["relation_head"],
    )
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = encoder
    return adapted
