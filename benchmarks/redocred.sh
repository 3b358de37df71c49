#!/usr/bin/env bash
# The whole chain on Re-DocRED with real distant supervision: dev's facts, projected on unlabelled documents, are the
# silver labels; three encoders (FineCL weights, uniform weights, no pre-training) are fine-tuned on part of dev.
#
#   DATA=folder-with-redocred-and-docred MODEL=all-MiniLM-L6-v2 OUT=outputs/redocred SEED=0 benchmarks/redocred.sh
#
# Sized for two CPU cores; PYTHON, STEPS and EPOCHS may be set, too.
set -euo pipefail
: "${DATA:?}" "${MODEL:?}" "${OUT:?}"
PYTHON=${PYTHON:-python} SEED=${SEED:-0} STEPS=${STEPS:-200} EPOCHS=${EPOCHS:-8}
ROOT=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$OUT"

# Documents: the first 400 of dev to fine-tune on, the last 100 to fit the threshold on
"$PYTHON" - "$DATA/redocred/dev_revised.json" "$OUT" <<'PY'
import sys
from finecl_hf import read_documents, write_documents
documents = read_documents(sys.argv[1])
write_documents(documents[:400], f"{sys.argv[2]}/train.json")
write_documents(documents[400:], f"{sys.argv[2]}/validation.json")
PY
TEST=$DATA/redocred/test_revised_first250.json
"$PYTHON" -m finecl_hf.cli project --documents "$DATA/docred/test_unlabelled.json" \
    --knowledge_base "$DATA/redocred/dev_revised.json" --output "$OUT/silver.json" \
    --drop_unlabelled  # documents without any silver label cost time and teach little
COMMON=(--model_name_or_path "$MODEL" --rel_info "$DATA/docred/rel_info.json" --seed "$SEED" --disable_tqdm true
        --max_seq_length 256)
SILVER=(--train_file "$OUT/silver.json" --exclude_file "$TEST" "${COMMON[@]}")

"$PYTHON" "$ROOT/run_denoise.py" "${SILVER[@]}" --output_dir "$OUT/denoise" --num_train_epochs 4 \
    --per_device_train_batch_size 8

PRETRAIN=(--max_steps "$STEPS" --per_device_train_batch_size 4 --gradient_accumulation_steps 1 --warmup_steps 0.1
          --save_steps 100)
"$PYTHON" "$ROOT/run_pretrain.py" "${SILVER[@]}" "${PRETRAIN[@]}" --output_dir "$OUT/encoder_finecl" \
    --learning_order "$OUT/denoise/learning_order.parquet"
"$PYTHON" "$ROOT/run_pretrain.py" "${SILVER[@]}" "${PRETRAIN[@]}" --output_dir "$OUT/encoder_uniform" \
    --weight_scheme uniform

for ENCODER in ${ENCODERS:-finecl uniform none}; do
    FROM=$MODEL
    [ "$ENCODER" = none ] || FROM=$OUT/encoder_$ENCODER
    "$PYTHON" "$ROOT/run_finetune.py" "${COMMON[@]}" --model_name_or_path "$FROM" --train_file "$OUT/train.json" \
        --validation_file "$OUT/validation.json" --test_file "$TEST" --train_fraction 0.25 --save_strategy no \
        --num_train_epochs "$EPOCHS" --learning_rate 1e-4 --per_device_train_batch_size 4 \
        --output_dir "$OUT/extractor_$ENCODER"
done
grep -H '"test_f1"\|"test_ign_f1"' "$OUT"/extractor_*/test_results.json
