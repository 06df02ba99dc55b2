"""nms, soft_nms, batched_nms, nms_match and bbox_overlaps of mmcv.ops."""

import math

import mmcv.ops
import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor


def random_boxes(count: int, size: float = 40.0) -> tuple[Tensor, Tensor]:
    corners = torch.rand(count, 2) * size
    return torch.cat([corners, corners + 4 + torch.rand(count, 2) * 16], 1), torch.rand(
        count
    )


def overlap(a: list[float], b: list[float], offset: int = 0) -> float:
    """Intersection over union of two boxes, by the definition."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    return width * height / (area_a + area_b - width * height)


def loop_nms(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    rows, kept = boxes.tolist(), []
    for i in scores.argsort(descending=True).tolist():
        if all(overlap(rows[i], rows[k], offset) <= threshold for k in kept):
            kept.append(i)
    return kept


def loop_soft_nms(
    boxes: Tensor,
    scores: Tensor,
    threshold: float,
    sigma: float,
    min_score: float,
    method: str,
    offset: int,
) -> tuple[list[int], list[float]]:
    rows, left = boxes.tolist(), dict(enumerate(scores.tolist()))
    kept, kept_scores = [], []
    while left:
        best = max(left, key=left.__getitem__)
        kept.append(best)
        kept_scores.append(left.pop(best))
        for i in list(left):
            iou = overlap(rows[best], rows[i], offset)
            if method == 'gaussian':
                left[i] *= math.exp(-(iou**2) / sigma)
            elif iou >= threshold:
                left[i] *= 1 - iou if method == 'linear' else 0
            if left[i] < min_score:
                del left[i]
    return kept, kept_scores


@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.9])
def test_nms_keeps_what_torchvision_keeps_in_score_order(threshold, device):
    boxes, scores = (t.to(device) for t in random_boxes(100))
    dets, kept = mmcv.ops.nms(boxes, scores, threshold)
    assert kept.tolist() == torchvision.ops.nms(boxes, scores, threshold).tolist()
    assert torch.equal(dets, torch.cat([boxes[kept], scores[kept, None]], 1))
    assert dets.device.type == kept.device.type == device


@pytest.mark.parametrize('offset', [0, 1])
def test_nms_agrees_with_a_plain_loop_under_both_conventions(offset):
    boxes, scores = random_boxes(80, size=25.0)
    _, kept = mmcv.ops.nms(boxes, scores, 0.4, offset=offset)
    assert kept.tolist() == loop_nms(boxes, scores, 0.4, offset)


def test_the_legacy_offset_changes_what_is_kept():
    boxes = torch.tensor([[0.0, 0, 2, 2], [1.0, 0, 3, 2]])
    scores = torch.tensor([0.9, 0.8])
    # 2 of 6 shared pixels by edges, 6 of 12 when the last pixel counts.
    assert mmcv.ops.nms(boxes, scores, 0.4, offset=0)[1].tolist() == [0, 1]
    assert mmcv.ops.nms(boxes, scores, 0.4, offset=1)[1].tolist() == [0]


def test_an_overlap_equal_to_the_threshold_is_kept():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 6]])
    _, kept = mmcv.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.6)
    assert kept.tolist() == [0, 1]


def test_nms_filters_by_score_and_number():
    boxes = torch.tensor([[i * 20.0, 0, i * 20 + 10, 10] for i in range(4)])
    scores = torch.tensor([0.1, 0.7, 0.9, 0.8])
    _, kept = mmcv.ops.nms(boxes, scores, 0.5, score_threshold=0.5, max_num=2)
    assert kept.tolist() == [2, 3]


def test_nms_of_no_boxes_is_empty(device):
    boxes = torch.zeros(0, 4, device=device)
    dets, kept = mmcv.ops.nms(boxes, boxes[:, 0], 0.5)
    assert dets.shape == (0, 5) and kept.shape == (0,) and kept.dtype == torch.long


def test_nms_takes_numpy_arrays_and_gives_them_back():
    boxes, scores = random_boxes(10)
    dets, kept = mmcv.ops.nms(boxes.numpy(), scores.numpy(), 0.5)
    assert isinstance(dets, np.ndarray) and isinstance(kept, np.ndarray)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms_takes_every_float_format(dtype, device):
    boxes = torch.tensor([[0.0, 0, 8, 8], [0.0, 0, 8, 7], [16.0, 0, 24, 8]])
    scores = torch.tensor([0.5, 0.75, 0.25])
    dets, kept = mmcv.ops.nms(
        boxes.to(device, dtype), scores.to(device, dtype), iou_threshold=0.5
    )
    assert kept.tolist() == [1, 2] and dets.dtype == dtype


def test_batched_nms_suppresses_within_a_class_only(device):
    boxes, scores = (t.to(device) for t in random_boxes(100))
    labels = torch.randint(3, (100,), device=device)
    cfg = {'type': 'nms', 'iou_threshold': 0.3}
    _, kept = mmcv.ops.batched_nms(boxes, scores, labels, cfg)
    expected = torchvision.ops.batched_nms(boxes, scores, labels, 0.3)
    assert kept.tolist() == expected.tolist()


@pytest.mark.parametrize('classes', [2, 40, 1200])
@pytest.mark.parametrize('scores_differ', [True, False])
def test_nms_of_many_boxes_in_parts_keeps_what_torchvision_keeps(
    classes, scores_differ, monkeypatch
):
    boxes, scores = random_boxes(1500, size=100.0)
    if not scores_differ:
        scores = (scores * 4).round()
    boxes[7], boxes[8, 0], boxes[9, 3] = math.nan, math.inf, -math.inf
    labels = torch.randint(classes, (1500,))
    apart = boxes + 200.0 * labels[:, None]
    runs = []
    kernel = torchvision.ops.nms
    monkeypatch.setattr(
        torchvision.ops, 'nms', lambda *args: runs.append(1) or kernel(*args)
    )
    _, kept = mmcv.ops.nms(apart, scores, 0.3)
    assert len(runs) > 1
    assert kept.tolist() == kernel(apart, scores, 0.3).tolist()


def test_a_long_box_keeps_the_boxes_beside_it_in_one_part():
    row = 3.0 * torch.arange(1500)[:, None]
    boxes = torch.cat([row, row * 0, row + 2, row * 0 + 2], 1)
    boxes[700] = torch.tensor([0.0, 0, 4500, 2])
    scores = torch.linspace(0.1, 0.5, 1500)
    scores[700] = 1
    assert mmcv.ops.nms(boxes, scores, 0.0)[1].tolist() == [700]


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
def test_soft_nms_agrees_with_a_plain_loop(method, offset):
    boxes, scores = random_boxes(60)
    options = dict(sigma=0.4, min_score=0.05, method=method, offset=offset)
    dets, kept = mmcv.ops.soft_nms(boxes, scores, 0.3, **options)
    expected, expected_scores = loop_soft_nms(boxes, scores, 0.3, **options)
    assert 10 < len(expected) < 60
    assert kept.tolist() == expected
    torch.testing.assert_close(dets[:, 4], torch.tensor(expected_scores))
    assert torch.equal(dets[:, :4], boxes[kept])


def test_soft_nms_fills_dropped_places_from_the_end_of_the_list():
    # Picking 0 drops 1 and 2, whose places 4 and 3 take. Scores are equal, so the
    # order of the list decides.
    boxes = torch.tensor([[x, 0.0, x + 10, 10] for x in (0.0, 1.0, 2.0, 30.0, 60.0)])
    _, kept = mmcv.ops.soft_nms(boxes, torch.full((5,), 0.5), method='naive')
    assert kept.tolist() == [0, 4, 3]


def test_soft_nms_of_boxes_without_area_gives_finite_scores():
    boxes = torch.tensor([[3.0, 1, 3, 1], [3.0, 1, 3, 1]])
    dets, _ = mmcv.ops.soft_nms(boxes, torch.tensor([0.9, 0.5]), method='gaussian')
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.5])


def test_soft_nms_of_no_boxes_is_empty():
    dets, kept = mmcv.ops.soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5) and kept.shape == (0,)


def test_nms_match_groups_the_suppressed_with_their_best():
    rows = [[0, 0, 10, 10, 0.5], [0, 0, 10, 8, 0.9], [30, 0, 40, 10, 0.7]]
    groups = mmcv.ops.nms_match(torch.tensor(rows), 0.8)
    # An overlap of exactly 0.8 joins: here the threshold is inclusive.
    assert [group.tolist() for group in groups] == [[1, 0], [2]]


def test_nms_match_agrees_with_a_plain_loop():
    boxes, scores = random_boxes(60)
    rows, groups, left = boxes.tolist(), [], scores.argsort(descending=True).tolist()
    while left:
        best, *rest = left
        joined = [i for i in rest if overlap(rows[best], rows[i]) >= 0.3]
        groups.append([best, *joined])
        left = [i for i in rest if i not in joined]
    matched = mmcv.ops.nms_match(torch.cat([boxes, scores[:, None]], 1).numpy(), 0.3)
    assert [group.tolist() for group in matched] == groups


def test_bbox_overlaps_is_torchvisions_box_iou(device):
    a, b = random_boxes(20)[0].to(device), random_boxes(30)[0].to(device)
    torch.testing.assert_close(
        mmcv.ops.bbox_overlaps(a, b), torchvision.ops.box_iou(a, b)
    )


def test_bbox_overlaps_counts_the_last_pixel_with_offset_1():
    a, b = random_boxes(6)[0], random_boxes(8)[0]
    expected = [[overlap(x, y, 1) for y in b.tolist()] for x in a.tolist()]
    torch.testing.assert_close(
        mmcv.ops.bbox_overlaps(a, b, offset=1), torch.tensor(expected)
    )


def test_iof_divides_by_the_first_box():
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 5, 10], [0.0, 0, 20, 20]])
    assert mmcv.ops.bbox_overlaps(a, b, mode='iof').tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize('mode', ['iou', 'iof'])
def test_aligned_overlaps_are_the_diagonal(mode):
    a, b = random_boxes(20)[0], random_boxes(20)[0]
    torch.testing.assert_close(
        mmcv.ops.bbox_overlaps(a, b, mode=mode, aligned=True),
        mmcv.ops.bbox_overlaps(a, b, mode=mode).diagonal(),
    )


def test_overlaps_in_half_precision_are_those_of_float():
    a, b = (random_boxes(20)[0].half() for _ in range(2))
    expected = torchvision.ops.box_iou(a.float(), b.float())
    result = mmcv.ops.bbox_overlaps(a, b)
    assert result.dtype == torch.half
    torch.testing.assert_close(result, expected.half())
