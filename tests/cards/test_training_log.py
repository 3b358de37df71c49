from finecl_hf.cards.training_log import training_log


def test_training_log_joins_an_evaluation_with_the_loss_before_it():
    log = training_log(
        [
            {"loss": 0.9, "grad_norm": 1.0, "learning_rate": 1e-5, "epoch": 0.5, "step": 5},
            {"loss": 0.5, "loss_rd": 0.2, "epoch": 1.0, "step": 10},
            {"eval_loss": 0.4, "eval_ign_f1": 0.3, "eval_runtime": 1.0, "epoch": 1.0, "step": 10},
            {"train_runtime": 9.0, "train_loss": 0.7, "epoch": 1.0, "step": 10},
        ]
    )
    assert log.header == ["Epoch", "Step", "Training loss", "loss_rd", "Ign F1", "Validation loss"]
    assert log.rows == [["1", "10", "0.5000", "0.2000", "0.3000", "0.4000"]]


def test_training_log_without_evaluations_is_thinned():
    log = training_log([{"loss": 1.0, "step": step} for step in range(101)], max_rows=5)
    assert (log.total, [row[0] for row in log.rows]) == (101, ["0", "25", "50", "75", "100"])


def test_evidence_is_not_predicted_so_it_is_not_shown():
    log = training_log([{"eval_f1": 0.5, "eval_evidence_f1": 0.0, "eval_threshold": -1.0, "epoch": 1.0, "step": 3}])
    assert log.header == ["Epoch", "Step", "F1", "Threshold"]
