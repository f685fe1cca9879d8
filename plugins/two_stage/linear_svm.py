"""A linear SVM among few positives and far too many negatives (Felzenszwalb et al. 2010, TPAMI 32; Girshick et al.
2014, arXiv 1311.2524, appendix B).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

NEVER = -20.0  # margin of a class of which nothing was seen
_FIRST = 2000  # negatives that the search begins with
_ROUNDS = 10


def hard_negative_svm(positives: Floats, negatives: Floats, c: float) -> tuple[Floats, float]:
    """The SVM with hinge loss that all negatives give, found from the hard ones: those within the margin.

    positives [P, F] and negatives [N, F], c: weight of an example's loss. Returns weight [F] and bias. Without
    positives, or without negatives, there is nothing to separate: zeros, and NEVER or -NEVER.
    """
    if not len(positives) or not len(negatives):
        return np.zeros(positives.shape[1], np.float32), -NEVER if len(positives) else NEVER
    from sklearn.svm import LinearSVC

    chosen = np.zeros(len(negatives), bool)
    chosen[np.random.default_rng(0).permutation(len(negatives))[:_FIRST]] = True
    for _ in range(_ROUNDS):
        examples = np.concatenate([positives, negatives[chosen]])
        signs = np.repeat([1, -1], [len(positives), chosen.sum()])
        svm = LinearSVC(loss="hinge", C=c, intercept_scaling=10, random_state=0, max_iter=5000).fit(examples, signs)
        hard = (svm.decision_function(negatives) > -1) & ~chosen
        if not hard.any():
            break
        chosen |= hard
    return svm.coef_[0].astype(np.float32), float(svm.intercept_[0])
