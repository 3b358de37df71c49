"""What becomes of each field of `TrainingArguments`: it works, or it is refused in a sentence. None is passed over.

A field that a new version of transformers brings is in neither table until somebody has decided on it; the tests say
so.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from transformers import TrainingArguments

from finecl_hf.errors import FineCLError


HONOURED = frozenset(
    """
    output_dir per_device_train_batch_size num_train_epochs max_steps learning_rate lr_scheduler_type
    lr_scheduler_kwargs warmup_steps optim optim_args weight_decay adam_beta1 adam_beta2 adam_epsilon
    optim_target_modules gradient_accumulation_steps max_grad_norm bf16 fp16 tf32 activation_checkpointing
    activation_checkpointing_kwargs gradient_checkpointing gradient_checkpointing_kwargs torch_compile
    torch_compile_backend torch_compile_mode neftune_noise_alpha torch_empty_cache_steps logging_strategy
    logging_steps logging_first_step log_on_each_node logging_nan_inf_filter include_num_input_tokens_seen log_level
    log_level_replica disable_tqdm report_to run_name project trackio_space_id trackio_bucket_id
    trackio_static_space_id eval_strategy eval_steps eval_delay per_device_eval_batch_size prediction_loss_only
    eval_on_start eval_do_concat_batches eval_accumulation_steps batch_eval_metrics save_only_model save_strategy
    save_steps save_on_each_node save_total_limit push_to_hub hub_token hub_private_repo hub_model_id hub_strategy
    hub_always_push hub_revision load_best_model_at_end metric_for_best_model greater_is_better ignore_data_skip
    restore_callback_states_from_checkpoint full_determinism seed data_seed use_cpu accelerator_config
    dataloader_drop_last dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers
    dataloader_prefetch_factor dataloader_multiprocessing_context dataloader_in_order train_sampling_strategy
    length_column_name ddp_find_unused_parameters ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend
    ddp_timeout fsdp fsdp_config debug skip_memory_metrics do_train do_eval do_predict resume_from_checkpoint
    local_rank
    """.split()
)

# Field -> why only its default is accepted, and what to do instead
REFUSED = {
    "remove_unused_columns": "collators need every column; leave it away",
    "label_smoothing_factor": "the losses here have no smoothing; choose a --loss",
    "label_names": "the batches know their labels; leave it away",
    "average_tokens_across_devices": "the losses are means over pairs, not tokens; leave it away",
    "bf16_full_eval": "the model that is saved afterwards would be in half precision; take --bf16",
    "fp16_full_eval": "the model that is saved afterwards would be in half precision; take --fp16",
    "use_liger_kernel": "its kernels are for decoders; leave it away",
    "liger_kernel_config": "its kernels are for decoders; leave it away",
    "use_cache": "an encoder has no cache; leave it away",
    "auto_find_batch_size": "a second attempt would record labels twice; give --per_device_train_batch_size",
    "eval_use_gather_object": "predictions are gathered as tensors; leave it away",
    "include_for_metrics": "figures are made of whole documents; pass compute_metrics to FinetuneTrainer",
    "enable_jit_checkpoint": "SIGTERM is answered with a checkpoint anyway; leave it away",
    "parallelism_config": "only data parallelism and FSDP 2 are supported; use `accelerate launch`",
    "deepspeed": "it is not supported; shard with FSDP 2 (examples/accelerate)",
}
REFUSED_WITH_PARTNERS = {  # stage 2 draws its batches itself: documents that share a relation
    "train_sampling_strategy": "stage 2 batches documents by their relations; leave it away",
    "dataloader_drop_last": "batches of stage 2 are always full; leave it away",
    "dataloader_in_order": "batches must come in their order; leave it away",
    "dataloader_multiprocessing_context": "it is not passed on in stage 2; leave it away",
    "accelerator_config": "stage 2 shares its batches among processes itself; leave it away",
    "length_column_name": "stage 2 batches documents by their relations; leave it away",
}


HONOURED_ARGUMENTS = frozenset(
    """
    model args data_collator train_dataset eval_dataset processing_class model_init callbacks optimizers
    optimizer_cls_and_kwargs
    """.split()
)
# Argument of the trainers -> why it is not accepted, and what to do instead
REFUSED_ARGUMENTS = {
    "compute_loss_func": "the loss is a trainer's own; override compute_loss in a subclass",
    "preprocess_logits_for_metrics": "predictions are decoded before they are gathered; pass compute_metrics",
    "compute_metrics": "only FinetuneTrainer has figures to add to; leave it away",
}


def refuse_arguments(given: dict[str, Any], refused: dict[str, str]) -> None:
    """Raises FineCLError where an argument of a trainer is given that has no effect."""
    for name, value in given.items():
        if name in refused and value is not None:
            raise FineCLError(f"{name} is not possible: {refused[name]}.")


def refuse_flags(arguments: Any, refused: dict[str, str]) -> None:
    """Raises FineCLError where a field has another value than its default, and none but that is accepted."""
    for field in fields(arguments):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        value = getattr(arguments, field.name)
        if field.name in refused and value != default:
            raise FineCLError(f"--{field.name} {value} is not possible: {refused[field.name]}.")


def undecided() -> set[str]:
    """Fields that nobody has decided on."""
    return {field.name for field in fields(TrainingArguments)} - HONOURED - REFUSED.keys()
