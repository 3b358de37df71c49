"""Stage 2: contrastive pre-training, L = L_RD + L_ED + L_MLM.

The formula is `finecl_hf.losses`; `contrast` draws partners and negatives, `step` encodes, `trainer` adds up.
"""
