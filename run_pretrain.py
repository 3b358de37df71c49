"""Stage 2: contrastive pre-training in which reliable labels weigh more (L = L_RD + L_ED + L_MLM).

    python run_pretrain.py --model_name_or_path bert-base-uncased --train_file silver.json --rel_info rel_info.json \\
        --learning_order outputs/denoise/learning_order.parquet --output_dir outputs/encoder

The output folder is a plain encoder: `AutoModel.from_pretrained("outputs/encoder")`. `--weight_scheme uniform` is the
unweighted baseline (ERICA) and needs no learning order.
"""

import logging

from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.training.arguments import DataArguments, ModelArguments, parse_arguments, run_script


logger = logging.getLogger("finecl_hf.run_pretrain")


def main(argv=None):
    model_args, data_args, args = parse_arguments((ModelArguments, DataArguments, PretrainArguments), argv)

    from finecl_hf import PretrainTrainer
    from finecl_hf.data.corpus import keys_of
    from finecl_hf.encoding.feature_table import token_counts
    from finecl_hf.extraction.starting_point import StartingPoint
    from finecl_hf.pretraining.card import encoder_card
    from finecl_hf.pretraining.collator import collator_for
    from finecl_hf.pretraining.fact_weights import check_order, read_weights, usable_facts, weigh_corpus
    from finecl_hf.pretraining.masked_lm import load_masked_lm, masked_lm_of, start_head
    from finecl_hf.pretraining.na_doubts import NaDoubts
    from finecl_hf.pretraining.streaming import open_stream
    from finecl_hf.training.checkpoints import checkpoint_to_resume
    from finecl_hf.training.loading import load_silver, load_training_corpus, training_data
    from finecl_hf.training.scripts import finish_run, start_run

    data_args.require_training_documents()
    start_run(args)
    start = StartingPoint.of(model_args)
    doubts = NaDoubts.read(args.missing_labels)
    if args.streaming:
        silver = open_stream(model_args, data_args, args)
        card = encoder_card(model_args, args, training_data(data_args), silver.encoder.max_length)
        training = {"train_dataset": silver.stream}
    else:
        weights = read_weights(args)
        corpus = load_training_corpus(data_args, args)
        check_order(corpus, weights, args)  # before the corpus is encoded
        args.warn_of_many_passes(len(corpus))
        doubts.check(keys_of(corpus), args.missing_labels)
        silver = load_silver(model_args, data_args, args, corpus=corpus)
        features, coverage = weigh_corpus(silver.features, silver.corpus, args, weights)
        data = training_data(data_args, silver.corpus, silver.counts)
        card = encoder_card(model_args, args, data, silver.encoder.max_length, silver.truncation, coverage)
        training = {
            "train_dataset": features.with_format("numpy"),
            "usable": usable_facts(features) if args.pair_documents else None,
            "corpus": silver.corpus,
        }

    # Model
    if start.relation_model is not None:
        model, has_head = masked_lm_of(start.load_encoder()), False
    else:
        model, has_head = load_masked_lm(
            model_args.model_name_or_path, model_args.torch_dtype, **model_args.encoder_options
        )
    if not has_head:
        logger.warning("%s has no MLM head: a new one is started.", model_args.model_name_or_path)
        if not args.streaming:  # nobody has counted the tokens of a stream
            start_head(model, token_counts(features, model.config.get_text_config().vocab_size))

    # Training
    trainer = PretrainTrainer(
        model=model,
        args=args,
        **training,
        data_collator=collator_for(args, silver.encoder, silver.names, doubts),
        processing_class=silver.encoder.tokenizer,
        card_data=card,
    )
    result = trainer.train(resume_from_checkpoint=checkpoint_to_resume(args))
    finish_run(trainer, result.metrics, "run_pretrain.py", argv)
    return result.metrics


if __name__ == "__main__":
    run_script(main)
