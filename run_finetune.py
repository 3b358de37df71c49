"""Stage 3: fine-tune a relation extractor on gold labels, fully or with LoRA.

Documents (DocRED, Re-DocRED, or your own in that format):

    python run_finetune.py --model_name_or_path outputs/encoder --train_file train.json --validation_file dev.json \\
        --test_file test.json --rel_info rel_info.json --output_dir outputs/extractor

Sentences (SemEval-2010 Task 8, KBP37, TACRED, FewRel, OpenNRE), adapters only, a tenth of the data:

    python run_finetune.py --task sentence --model_name_or_path outputs/encoder --train_file TRAIN_FILE.TXT \\
        --test_file TEST_FILE_FULL.TXT --train_fraction 0.1 --use_lora --output_dir outputs/semeval

The decision threshold is fitted on the validation file. Predictions for the test file go to `predictions.json`
(DocRED's submission format) or `predictions.txt` (SemEval's answer format); a file without labels is
predicted, never scored.

`--do_eval` or `--do_predict` alone evaluate or predict with a relation model or an adapter as it stands, and write
nothing but figures and predictions. A relation model that is trained on goes on with its head, markers and threshold.
"""

from finecl_hf.extraction.arguments import EvaluationArguments, FinetuneArguments
from finecl_hf.training.arguments import DataArguments, ModelArguments, parse_arguments, run_script, sampling_seed


def main(argv=None):
    model_args, data_args, eval_args, args = parse_arguments(
        (ModelArguments, DataArguments, EvaluationArguments, FinetuneArguments), argv
    )

    if args.seeds:
        from finecl_hf.extraction.seeds import run_seeds

        return run_seeds(main, argv, args)

    from finecl_hf import FineCLConfig, FinetuneTrainer
    from finecl_hf.data.corpus import check_corpus, documents_of, relation_counts, sample_fraction
    from finecl_hf.data.documents import entity_types
    from finecl_hf.data.relation_names import read_relation_names
    from finecl_hf.encoding.batches import RelationCollator
    from finecl_hf.extraction.adapters import add_adapters
    from finecl_hf.extraction.best_checkpoint import choose_best_checkpoint, tell_which_is_kept
    from finecl_hf.extraction.evaluation import (
        check_task,
        load_evaluation_set,
        record_scores,
        relation_card,
        write_breakdown,
        write_predictions,
        write_train_documents,
    )
    from finecl_hf.extraction.label_priors import label_priors
    from finecl_hf.extraction.reversed_pairs import with_reversed_pairs
    from finecl_hf.extraction.starting_point import StartingPoint
    from finecl_hf.extraction.type_constraints import type_constraints
    from finecl_hf.losses import PU_LOSSES
    from finecl_hf.training.checkpoints import checkpoint_to_resume
    from finecl_hf.training.loading import (
        label_set,
        load_encoder,
        load_features,
        load_training_corpus,
        training_data,
    )
    from finecl_hf.training.scripts import end_run, finish_run, start_run

    start_run(args)
    start = StartingPoint.of(model_args, args.task)
    args.complete(start.relation_model, start.hidden_size)
    check_task(args, data_args, eval_args, start)

    # Documents and label set
    names = read_relation_names(data_args.rel_info) or start.relation_names
    corpus = trained_on = train_documents = None  # a model that is only evaluated or used needs none
    if data_args.train_source:
        everything = load_training_corpus(data_args, args)
        counts = relation_counts(everything)
        label2id = start.label_set(counts, data_args.rel_info)
        if label2id is None:
            label2id = label_set(counts, names, fixed=True, source=data_args.train_source)
        check_corpus(everything, label2id, args.task)
        corpus = sample_fraction(everything, args.train_fraction, sampling_seed(args))
        if len(corpus) < len(everything):
            write_train_documents(corpus, everything, args)
        train_documents = documents_of(corpus)
        start.settle_markers(entity_types(train_documents))
        trained_on = with_reversed_pairs(corpus) if args.task == "sentence" and args.reversed_pairs else corpus
    else:
        label2id = start.relation_model.label2id

    # Features
    encoder = load_encoder(model_args, label2id, args.long_documents)
    features, truncation = load_features(trained_on, encoder, data_args, args) if args.do_train else (None, None)
    if features is not None:
        args.train_long_enough(len(features))
    validation, test = (
        load_evaluation_set(file if wanted is not False else None, max_samples, what, encoder, data_args, args)
        for wanted, file, max_samples, what in (
            (args.do_eval, eval_args.validation_file, eval_args.max_eval_samples, "validation"),
            (args.do_predict, eval_args.test_file, eval_args.max_predict_samples, "test"),
        )
    )
    callbacks = choose_best_checkpoint(args, validation.documents if validation is not None else None)

    # Model
    priors = None
    if args.loss in PU_LOSSES and args.do_train:
        complete = validation.documents if validation is not None else None
        priors = label_priors(args.label_prior, train_documents, complete)
    constraints = args.type_constraints or ("learned" if args.do_train and args.task == "document" else "none")
    config = FineCLConfig.for_labels(
        label2id,
        relation_names=names,
        task=args.task,
        head=args.head,
        mixed_layers=args.mixed_layers,
        head_dropout=args.head_dropout,
        loss=args.loss,
        label_priors=priors,
        max_seq_length=encoder.max_length,
        entity_markers=model_args.entity_markers,
        hide_names=model_args.hide_names,
        long_documents=args.long_documents,
        entity_types=entity_types(train_documents) if corpus is not None else None,
        type_constraints=type_constraints(constraints, train_documents, label2id),
    )
    model = start.load(config, keep_type_constraints=args.type_constraints is None)
    if args.use_lora and args.do_train:
        model = add_adapters(model, **args.lora_options())

    card = None
    if args.do_train:
        card = relation_card(
            config,
            model_args,
            args,
            training_data(data_args, corpus, relation_counts(corpus)),
            truncation,
            kind="lora_adapter" if args.use_lora else "relation_model",
            train_fraction=args.train_fraction,
        )
    trainer = FinetuneTrainer(
        model=model,
        args=args,
        train_dataset=features.with_format("numpy") if features is not None else None,
        eval_dataset=validation,
        data_collator=RelationCollator(encoder.tokenizer.pad_token_id, args.na_ratio, args.seed),
        processing_class=encoder.tokenizer,
        callbacks=callbacks,
        corpus=trained_on,
        train_documents=train_documents,
        fit_threshold=args.do_train,
        card_data=card,
    )
    if args.do_train:
        result = trainer.train(resume_from_checkpoint=checkpoint_to_resume(args))
        tell_which_is_kept(args, trainer.state)

    # Evaluation: the threshold is fitted on validation, then used on test
    predictions = {}
    if validation is not None:
        record_scores(trainer, "validation", eval_args.validation_file, trainer.evaluate())
        predictions["validation"] = validation.documents, trainer.last_predictions
    if test is not None:
        output = trainer.predict(test)
        record_scores(trainer, "test", eval_args.test_file, output.metrics)
        write_predictions(trainer, test.documents, output.predictions)
        predictions["test"] = test.documents, output.predictions
    write_breakdown(trainer, predictions)
    if args.do_train:
        finish_run(trainer, result.metrics, "run_finetune.py", argv)
    else:
        end_run(args)
    return {name: value for results in trainer.scores.values() for name, value in results.items()}


if __name__ == "__main__":
    run_script(main)
