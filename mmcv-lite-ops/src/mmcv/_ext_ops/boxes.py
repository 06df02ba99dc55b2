"""Suppression and overlap of axis-aligned boxes.

Boxes are (x1, y1, x2, y2). With ``offset`` 1 they include their last pixel, so that
a side is ``x2 - x1 + 1`` long: mmdet 1.x had it so.

Source: mmcv 2.0.1, ops/csrc/pytorch/cpu/nms.cpp and bbox_overlaps_cpu.cpp.
"""

import numpy as np
import torch
import torchvision
from torch import Tensor

from .calls import fill, full

NAIVE, LINEAR, GAUSSIAN = range(3)
# The time of nms grows with the square of the number of boxes: above so many it looks
# for parts (as torchvision's batched_nms does), and makes them of at least so many.
SPLIT_ABOVE = 1000
BOXES_A_PART = 128


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices that survive non-maximum suppression, best score first.

    Args:
        boxes: (N, 4), in pixels.
        scores: (N,).
        iou_threshold: A box that overlaps a better one by more is dropped.
        offset: 0 or 1 pixel, added to every side.

    Returns:
        (K,) int64, on the device of ``boxes``.
    """
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.long, device=boxes.device)
    boxes = full(boxes)
    if offset:
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    # mmcv's threshold is a C float and torchvision's a double: an overlap of exactly
    # 0.6 exceeds the one and not the other.
    threshold = float(np.float32(iou_threshold))
    if scores.dtype != boxes.dtype:
        scores = scores.to(boxes.dtype)
    if len(boxes) > SPLIT_ABOVE and boxes.device.type == 'cpu' and threshold >= 0:
        part = _parts(_array(boxes))
        if part is not None:
            return _nms_of_parts(boxes, scores, threshold, part)
    return torchvision.ops.nms(boxes, scores, threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Suppress softly: overlapped boxes lose score instead of being dropped.

    Among equal scores the order is mmcv's own: a dropped box is replaced in place by
    the last one of the list, and the first of equals is taken.

    Args:
        boxes: (N, 4) on the CPU.
        scores: (N,) on the CPU.
        dets: (N, 5) buffer; the first K rows become box and new score.
        iou_threshold: From this overlap on, ``method`` 0 and 1 lower the score.
        sigma: Width of ``method`` 2, in squared overlap.
        min_score: A box whose score falls below is dropped.
        method: 0 to zero, 1 by ``1 - overlap``, 2 by ``exp(-overlap^2 / sigma)``.
        offset: 0 or 1 pixel, added to every side.

    Returns:
        (K,) int64, in the order in which the boxes were picked.

    Source: Bodla et al., Soft-NMS (arXiv:1704.04503).
    """
    rest = _array(boxes).copy()
    rest_scores = _array(scores).astype(rest.dtype)
    index = np.arange(len(rest))
    picked_boxes, picked_scores, picked = [], [], []
    while len(rest):
        best = int(rest_scores.argmax())
        picked_boxes.append(rest[best].copy())
        picked_scores.append(rest_scores[best])
        picked.append(index[best])
        for array in (rest, rest_scores, index):
            array[best] = array[0]
        rest, rest_scores, index = rest[1:], rest_scores[1:], index[1:]
        overlap = _overlap_with(picked_boxes[-1], rest, offset)
        if method == GAUSSIAN:
            rest_scores = rest_scores * np.exp(-(overlap**2) / sigma)
        else:
            lower = 1 - overlap if method == LINEAR else 0
            rest_scores = rest_scores * np.where(overlap >= iou_threshold, lower, 1)
        order = _order_after_dropping(rest_scores >= min_score)
        rest, rest_scores, index = rest[order], rest_scores[order], index[order]
    if picked:
        rows = np.column_stack([picked_boxes, picked_scores])
        dets[: len(rows)] = torch.from_numpy(rows).to(dets)
    return torch.tensor(picked, dtype=torch.long)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return groups of boxes: each kept one with those that it suppresses.

    Args:
        dets: (N, 5) boxes and scores, on the CPU.
        iou_threshold: From this overlap on (inclusive, unlike :func:`nms`) a box
            joins the group of the better one.

    Returns:
        Indices of each group in score order, groups in the order of their best.
    """
    rows = _array(dets)
    rest = np.argsort(-rows[:, 4], kind='stable')
    groups = []
    while len(rest):
        best, rest = rest[0], rest[1:]
        joins = _overlap_with(rows[best, :4], rows[rest, :4], 0) >= iou_threshold
        groups.append([int(best), *rest[joins].tolist()])
        rest = rest[~joins]
    return groups


def bbox_overlaps(
    bboxes1: Tensor,
    bboxes2: Tensor,
    ious: Tensor,
    mode: int,
    aligned: bool,
    offset: int,
) -> None:
    """Write the overlap of box pairs into ``ious``.

    Args:
        bboxes1: (M, 4).
        bboxes2: (N, 4).
        ious: (M, N), or (M,) with ``aligned``.
        mode: 0 divides by the union, 1 by the area of the first box.
        aligned: Compare row with row instead of all with all.
        offset: 0 or 1 pixel, added to every side.
    """
    first, second = full(bboxes1), full(bboxes2)
    area1, area2 = (_area(boxes, offset) for boxes in (first, second))
    if not aligned:
        first, area1 = first[:, None], area1[:, None]
    sides = torch.minimum(first[..., 2:], second[..., 2:])
    sides = sides.sub_(torch.maximum(first[..., :2], second[..., :2]))
    if offset:
        sides += offset
    sides.clamp_(min=0)
    inter = sides[..., 0] * sides[..., 1]
    union = area1 if mode else (area1 + area2).sub_(inter)
    fill(ious, inter.div_(union))


def _area(boxes: Tensor, offset: int) -> Tensor:
    """Return the areas (N,) of boxes (N, 4)."""
    x1, y1, x2, y2 = boxes.unbind(1)
    width, height = x2 - x1, y2 - y1
    return (width + offset) * (height + offset) if offset else width * height


def _parts(boxes: np.ndarray) -> np.ndarray | None:
    """Number the parts of the plane that no box reaches out of.

    ``batched_nms`` keeps classes apart by moving each to a place of its own, along
    both axes: no box of one is beside a box of another.

    Args:
        boxes: (N, 4).

    Returns:
        (N,) number of each box's part, ascending along x; None if there is but one.
    """
    by_left = boxes[:, 0].argsort()
    left, right = boxes[by_left][:, [0, 2]].T
    (begins,) = np.nonzero(left[1:] > np.maximum.accumulate(right)[:-1])
    if len(begins) == 0:
        return None
    begins = np.concatenate([[0], begins + 1])
    part = np.empty(len(boxes), dtype=int)
    # Small parts that begin within one stretch of the list become one.
    part[by_left] = np.repeat(
        begins // BOXES_A_PART, np.diff(begins, append=len(boxes))
    )
    return part


def _nms_of_parts(
    boxes: Tensor, scores: Tensor, threshold: float, part: np.ndarray
) -> Tensor:
    """Suppress within each part; of equal scores the earlier box is the better one."""
    by_score = scores.argsort(descending=True, stable=True)
    part = part[by_score.numpy()]
    by_part = part.argsort(kind='stable')
    ends = np.nonzero(np.diff(part[by_part], append=-1))[0] + 1
    index = by_score[torch.from_numpy(by_part)]
    boxes, scores = boxes[index], scores[index]
    kept, begin = [], 0
    for end in ends.tolist():
        part_kept = torchvision.ops.nms(boxes[begin:end], scores[begin:end], threshold)
        kept.append(part_kept.numpy() + begin)
        begin = end
    ranks = np.sort(by_part[np.concatenate(kept)])
    return by_score[torch.from_numpy(ranks)]


def _array(tensor: Tensor) -> np.ndarray:
    # One small step for each picked box: numpy takes a fraction of torch's time.
    return full(tensor).detach().cpu().numpy()


def _overlap_with(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """Return the overlaps (K,) of a box (4,) with others (K, 4); 0 without an area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    inter = np.maximum(sides + offset, 0).prod(1)
    area, areas = (np.prod(b[..., 2:] - b[..., :2] + offset, -1) for b in (box, others))
    union = area + areas - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=union != 0)


def _order_after_dropping(keep: np.ndarray) -> np.ndarray:
    """Return the positions left when each dropped one is filled with the last."""
    kept = int(keep.sum())
    order = np.arange(kept)
    order[~keep[:kept]] = kept + np.flatnonzero(keep[kept:])[::-1]
    return order
