"""Sigmoid and softmax focal loss of mmcv.ops."""

import mmcv.ops
import pytest
import torch
import torchvision
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import log_softmax, one_hot


def one_hot_or_none(target: Tensor, classes: int) -> Tensor:
    """One-hot rows; a row of zeros where the target is not a class."""
    inside = (target >= 0) & (target < classes)
    return one_hot(target.where(inside, 0), classes) * inside[:, None]


@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_sigmoid_focal_loss_is_torchvisions_with_one_hot_targets(reduction, device):
    logits = torch.randn(6, 4, device=device) * 3
    target = torch.tensor([0, 1, 2, 3, 4, -1], device=device)
    loss = mmcv.ops.sigmoid_focal_loss(logits, target, 1.5, 0.3, None, reduction)
    each = torchvision.ops.sigmoid_focal_loss(
        logits, one_hot_or_none(target, 4).float(), alpha=0.3, gamma=1.5
    )
    # mmcv's mean is over the rows, not over all elements.
    expected = {'none': each, 'mean': each.sum() / 6, 'sum': each.sum()}[reduction]
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('weighted', [False, True])
def test_sigmoid_focal_loss_has_the_right_gradient(gamma, weighted, device):
    logits = torch.randn(5, 3, dtype=torch.double, device=device, requires_grad=True)
    target = torch.tensor([0, 2, 1, 3, -1], device=device)
    weight = torch.rand(3, dtype=torch.double, device=device) if weighted else None
    loss = mmcv.ops.SigmoidFocalLoss(gamma, 0.25, weight).to(device)
    assert gradcheck(lambda x: loss(x, target), logits)


def test_weight_is_that_of_the_rows_class_and_1_for_background():
    logits = torch.randn(4, 3)
    target = torch.tensor([0, 2, 3, -1])
    weight = torch.tensor([2.0, 3.0, 5.0])
    plain, weighted = (
        mmcv.ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, w, 'none')
        for w in (None, weight)
    )
    factor = torch.tensor([2.0, 5.0, 1.0, 1.0])
    torch.testing.assert_close(weighted, plain * factor[:, None])


def test_a_confident_mistake_costs_its_whole_logit():
    # -log(1 - sigmoid(30)) is 30; by way of 1 - p it would be 87 in float32.
    logits = torch.tensor([[30.0]], requires_grad=True)
    loss = mmcv.ops.sigmoid_focal_loss(logits, torch.tensor([1]), 2.0, 0.25)
    loss.backward()
    assert loss.item() == pytest.approx(0.75 * 30)
    assert logits.grad.item() == pytest.approx(0.75)


def test_sigmoid_focal_loss_keeps_half_precision(device):
    logits = torch.randn(8, 5, device=device).half().requires_grad_()
    target = torch.randint(6, (8,), device=device)
    loss = mmcv.ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, 'none')
    loss.sum().backward()
    exact = logits.detach().float().requires_grad_()
    mmcv.ops.sigmoid_focal_loss(exact, target, 2.0, 0.25, None, 'sum').backward()
    assert loss.dtype == logits.grad.dtype == torch.half
    torch.testing.assert_close(logits.grad, exact.grad.half())


def test_no_rows_give_no_loss(device):
    logits = torch.zeros(0, 4, device=device, requires_grad=True)
    target = torch.zeros(0, dtype=torch.long, device=device)
    for op in (mmcv.ops.sigmoid_focal_loss, mmcv.ops.softmax_focal_loss):
        loss = op(logits, target, 2.0, 0.25, None, 'none')
        assert loss.numel() == 0


@pytest.mark.parametrize('weighted', [False, True])
def test_softmax_focal_loss_agrees_with_the_formula(weighted, device):
    logits = torch.randn(5, 4, device=device)
    target = torch.tensor([0, 3, 1, 2, -1], device=device)
    weight = torch.rand(4, device=device) if weighted else None
    loss = mmcv.ops.softmax_focal_loss(logits, target, 2.0, 0.25, weight, 'none')
    for row, label, value in zip(logits, target.tolist(), loss, strict=True):
        log_p = log_softmax(row, 0)[label]
        expected = -0.25 * (1 - log_p.exp()) ** 2 * log_p
        if weighted:
            expected = expected * weight[label]
        torch.testing.assert_close(value, expected if label >= 0 else value * 0)


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('weighted', [False, True])
def test_softmax_focal_loss_has_the_right_gradient(gamma, weighted, device):
    logits = torch.randn(4, 3, dtype=torch.double, device=device, requires_grad=True)
    target = torch.tensor([0, 2, 1, -1], device=device)
    weight = torch.rand(3, dtype=torch.double, device=device) if weighted else None
    loss = mmcv.ops.SoftmaxFocalLoss(gamma, 0.25, weight).to(device)
    assert gradcheck(lambda x: loss(x, target), logits)


@pytest.mark.parametrize('gamma', [0.0, 0.5])
def test_a_certain_softmax_has_a_finite_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    mmcv.ops.softmax_focal_loss(logits, torch.tensor([0]), gamma, 0.25).backward()
    assert logits.grad.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ('op', 'label', 'largest'),
    [(mmcv.ops.sigmoid_focal_loss, 4, 3), (mmcv.ops.softmax_focal_loss, 3, 2)],
)
def test_a_target_beyond_the_classes_is_refused(op, label, largest):
    with pytest.raises(ValueError, match=f'class {label}.*allowed is {largest}'):
        op(torch.zeros(2, 3), torch.tensor([0, label]), 2.0, 0.25)
