"""Which ground-truth box, if any, is each candidate matched with? And which candidates does a loss sample?"""

import torch
from torch import Tensor

BACKGROUND = -1
UNDECIDED = -2


def match(iou: Tensor, positive: float, negative: float, keep_best: bool, ignored: Tensor | None = None) -> Tensor:
    """Assigns candidates to ground truth by overlap (Ren et al. 2015, section 3.1.2).

    iou: [G, N], ground truth x candidates. A candidate takes its best box at IoU >= positive, is BACKGROUND below
    `negative` and UNDECIDED between. keep_best: each box also gets the candidates that overlap it most, however little,
    so that none goes unlearned. ignored: bool [G], boxes that nothing is matched to; candidates that would have been
    theirs are UNDECIDED. Returns int64 [N]: an index into G, BACKGROUND or UNDECIDED.
    """
    if iou.shape[0] == 0:
        return torch.full((iou.shape[1],), BACKGROUND, dtype=torch.int64, device=iou.device)
    best, index = iou.max(dim=0)
    matched = torch.where(best >= positive, index, UNDECIDED)
    matched = torch.where(best < negative, BACKGROUND, matched)
    if keep_best:
        best_of_box = iou.max(dim=1, keepdim=True).values
        boxes, candidates = torch.where((iou == best_of_box) & (best_of_box > 0))
        matched[candidates] = boxes
    if ignored is not None and ignored.any():
        owned = ignored[matched.clamp(min=0)] & (matched >= 0)
        near = (iou[ignored] >= negative).any(dim=0) & (matched < 0)
        matched[owned | near] = UNDECIDED
    return matched


def sample(matched: Tensor, count: int, positive_fraction: float) -> Tensor:
    """Draws at most `count` candidates, at most that fraction of them positive, the rest BACKGROUND.

    matched: int64 [N] from `match`. Returns int64 indices, positives first. Draws from torch's global generator.
    """
    positives = torch.where(matched >= 0)[0]
    negatives = torch.where(matched == BACKGROUND)[0]
    positives = _choose(positives, int(count * positive_fraction))
    return torch.cat([positives, _choose(negatives, count - len(positives))])


def _choose(indices: Tensor, count: int) -> Tensor:
    # Drawn on the host, so that one seed means one draw on every device.
    return indices[torch.randperm(len(indices))[:count].to(indices.device)]
