"""Stage 1: train a relation classifier on silver labels and record the order in which it learns them.

    python run_denoise.py --model_name_or_path bert-base-uncased --train_file silver.json --rel_info rel_info.json \\
        --output_dir outputs/denoise

Writes `learning_order.parquet` (one row a label, with the epoch it was learned in and the dynamics of each epoch),
`missing_labels.parquet` (the facts that seem to lack a label), `report.html` with the least trusted labels, and the
classifier to the output folder; with `--write_clean FILE` also the corpus without the labels that look wrong. Run it
under `accelerate launch` for several processes; started again after an interruption, it resumes from the last
checkpoint. `--preset paper` is the published recipe.
"""

import os

from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.training.arguments import DataArguments, ModelArguments, parse_arguments, run_script


def main(argv=None):
    model_args, data_args, args = parse_arguments((ModelArguments, DataArguments, DenoiseArguments), argv)

    from transformers import set_seed

    from finecl_hf import DenoiseTrainer, FineCLConfig, LearningOrderCallback
    from finecl_hf.data.corpus import iter_corpus, relation_counts
    from finecl_hf.denoising.cleaning import check_clean_output
    from finecl_hf.denoising.correcting import corrected_corpus
    from finecl_hf.denoising.missing import find_missing
    from finecl_hf.denoising.outputs import check_reach, new_order, write_denoising
    from finecl_hf.denoising.probe import plant
    from finecl_hf.denoising.recorder import TABLE
    from finecl_hf.encoding.batches import RelationCollator
    from finecl_hf.extraction.evaluation import relation_card
    from finecl_hf.extraction.label_priors import label_priors
    from finecl_hf.extraction.starting_point import StartingPoint
    from finecl_hf.learning_order.verdicts import Verdicts
    from finecl_hf.losses import PU_LOSSES
    from finecl_hf.training.checkpoints import checkpoint_to_resume
    from finecl_hf.training.loading import held_out_pairs, load_silver, load_training_corpus, training_data
    from finecl_hf.training.scripts import finish_run, start_run

    data_args.require_training_documents()
    start_run(args)
    if args.write_clean:
        others = [data_args.rel_info, data_args.exclude_file, args.verdicts, os.path.join(args.output_dir, TABLE)]
        check_clean_output(data_args.train_source, args.write_clean, others)
    start = StartingPoint.of(model_args)
    verdicts = Verdicts.read(args.verdicts) if args.verdicts else None
    corpus = load_training_corpus(data_args, args)
    corpus = corrected_corpus(corpus, verdicts) if verdicts else corpus
    held_out = held_out_pairs(data_args)
    probe = plant(corpus, args.probe_share, args.seed, verdicts, held_out)
    silver = load_silver(model_args, data_args, args, args.long_documents, probe.corpus)
    check_reach(silver)
    order = new_order(silver, data_args, args, verdicts)

    # Model
    config = FineCLConfig.for_labels(
        silver.encoder.label2id,
        relation_names=silver.names,
        loss=args.loss,
        label_priors=label_priors(args.label_prior, iter_corpus(silver.corpus)) if args.loss in PU_LOSSES else None,
        max_seq_length=silver.encoder.max_length,
        entity_markers=model_args.entity_markers,
        hide_names=model_args.hide_names,
        long_documents=args.long_documents,
    )
    set_seed(args.seed)
    model = start.load_with_new_head(config)

    # Training
    data = training_data(data_args, corpus, relation_counts(corpus))
    trainer = DenoiseTrainer(
        model=model,
        args=args,
        train_dataset=silver.features.with_format("numpy"),
        data_collator=RelationCollator(silver.encoder.tokenizer.pad_token_id, args.na_ratio, args.seed),
        processing_class=silver.encoder.tokenizer,
        corpus=silver.corpus,
        learning_order=LearningOrderCallback(order, args.order_mode),
        card_data=relation_card(config, model_args, args, data, silver.truncation, silver_labels=True),
    )
    result = trainer.train(resume_from_checkpoint=checkpoint_to_resume(args))
    order = probe.judged_by(trainer.learning_order.order, args.score)
    trainer.save_model()  # whatever may go wrong with what follows
    trainer.card_data.self_test = str(order.self_test) if order.self_test else None
    missing = find_missing(trainer, silver, corpus, args.missing_labels, verdicts, held_out)
    if trainer.is_world_process_zero():
        write_denoising(order, corpus, silver.names, data_args, args, verdicts, missing)
    finish_run(trainer, result.metrics, "run_denoise.py", argv)
    return order


if __name__ == "__main__":
    run_script(main)
