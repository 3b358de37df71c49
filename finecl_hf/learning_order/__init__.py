"""The learning order: one row a silver label, with the epoch it was learned in and what each epoch saw of it.

Tables, their files, trust in labels, weights for stage 2, the estimate of how many labels are wrong. Reads documents
for `facts` and `plausibility` only; imports no torch. A new trust score goes to `trust`, a weighting to `weights`.
"""

from finecl_hf.learning_order.table import LearningOrder
from finecl_hf.learning_order.trust import unit_trust
from finecl_hf.learning_order.weights import SCHEMES, order_weights


__all__ = ["SCHEMES", "LearningOrder", "order_weights", "unit_trust"]
