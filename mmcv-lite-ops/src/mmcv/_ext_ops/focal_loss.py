"""Focal loss on logits (sigmoid) and on probabilities (softmax).

Source: Lin et al., Focal Loss (arXiv:1708.02002); mmcv 2.0.1,
ops/csrc/common/cuda/{sigmoid,softmax}_focal_loss_cuda_kernel.cuh.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .calls import fill, full

# mmcv clamps inside the logarithm to C's FLT_MIN, for doubles as well.
SMALLEST = torch.finfo(torch.float32).tiny


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the focal loss of every class, as a binary problem, into ``output``.

    Args:
        input: (N, C) logits.
        target: (N,) int64 class indices. One outside [0, C), as the background index
            C or -1, makes the row negative for every class.
        weight: (C,) factor of a row by its class, or empty. Rows outside [0, C) have
            factor 1; a compiled mmcv reads past the end of ``weight`` there.
        output: (N, C).
        gamma: Focusing exponent, >= 0.
        alpha: Factor of positives; negatives have ``1 - alpha``.

    Raises:
        ValueError: A target exceeds C.
    """
    _check_target(target, input.size(1))
    x = full(input)
    # All as negatives first: at most one element of a row is a positive.
    loss = _binary_loss(-x, 1 - alpha, gamma)
    positive = _binary_loss(_at_target(x, target), alpha, gamma)
    _put_at_target(loss, target, positive)
    if weight.numel():
        loss *= _row_weight(weight, target, loss)[:, None]
    fill(output, loss)


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivative of each loss by its own logit into ``grad_input`` (N, C)."""
    x = full(input)
    grad = _binary_slope(-x, alpha - 1, gamma)
    positive = _binary_slope(_at_target(x, target), alpha, gamma)
    _put_at_target(grad, target, positive)
    if weight.numel():
        grad *= _row_weight(weight, target, grad)[:, None]
    fill(grad_input, grad)


def softmax_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the focal loss of the target's probability into ``output``.

    Args:
        input: (N, C) probabilities: mmcv's wrapper has applied the softmax.
        target: (N,) int64 class indices; a negative one gives the row no loss.
        weight: (C,) factor of a row by its class, or empty.
        output: (N,).
        gamma: Focusing exponent, >= 0.
        alpha: Factor of the whole loss.

    Raises:
        ValueError: A target is C or more.
    """
    _check_target(target, input.size(1) - 1)
    p = _target_probability(full(input), target)
    loss = -alpha * (1 - p) ** gamma * p.clamp(min=SMALLEST).log()
    loss = loss.where(target >= 0, 0)
    output.copy_(loss * _row_weight(weight, target, loss))


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivative by the logits that the softmax came from.

    Args:
        input: (N, C) probabilities.
        target: (N,) int64.
        weight: (C,) or empty.
        buff: (N,) buffer; becomes ``p * dloss/dp`` of the target's probability p.
        grad_input: (N, C); becomes ``buff * (one_hot(target) - input)``.
        gamma: As in the forward.
        alpha: As in the forward.
    """
    probabilities = full(input)
    p = _target_probability(probabilities, target)
    q = 1 - p
    # At p = 1 and gamma < 1 the power is infinite and the logarithm 0: their product
    # goes to 0, which the clamp gives.
    slope = q.clamp(min=SMALLEST) ** (gamma - 1)
    by_log_p = gamma * slope * p * p.clamp(min=SMALLEST).log() - q**gamma
    by_log_p = (alpha * by_log_p).where(target >= 0, 0)
    by_log_p = by_log_p * _row_weight(weight, target, by_log_p)
    buff.copy_(by_log_p)
    one_hot = _is_target(probabilities, target).to(probabilities)
    grad_input.copy_(by_log_p[:, None] * (one_hot - probabilities))


def _binary_loss(logit: Tensor, factor: float, gamma: float) -> Tensor:
    """Return the focal loss of binary problems, by the logit of the right answer."""
    # 1 - sigmoid(x) has no digits left where x is large, sigmoid(-x) has them all.
    # mmcv takes the former and its logarithm stops at -87.
    wrong = (-logit).sigmoid_()
    return _log_sigmoid(logit).mul_(-factor).mul_(wrong.pow_(gamma))


def _binary_slope(logit: Tensor, factor: float, gamma: float) -> Tensor:
    """Return the derivative of :func:`_binary_loss` by the logit."""
    right, wrong = logit.sigmoid(), (-logit).sigmoid_()
    slope = _log_sigmoid(logit).mul_(right).mul_(gamma).sub_(wrong)
    return slope.mul_(factor).mul_(wrong.pow_(gamma))


def _log_sigmoid(logit: Tensor) -> Tensor:
    if logit.device.type != 'cpu':
        return logsigmoid(logit)
    # On the CPU torch's takes three times as long as this, for the sake of log1p:
    # log(1 + e) is log(sum) and what the rounding of the sum has left out of it.
    exp = logit.abs().neg_().exp_()
    sum_ = exp + 1
    left_out = exp.sub_(sum_ - 1).div_(sum_)
    return logit.clamp(max=0).sub_(sum_.log_().add_(left_out))


def _at_target(scores: Tensor, target: Tensor) -> Tensor:
    """Return the element (N, 1) at each row's target; any of them without a target."""
    return scores.gather(1, target.clamp(0, scores.size(1) - 1)[:, None])


def _put_at_target(scores: Tensor, target: Tensor, values: Tensor) -> None:
    """Write ``values`` (N, 1) at each row's target, where it is one."""
    place = target.clamp(0, scores.size(1) - 1)
    scores.scatter_(
        1,
        place[:, None],
        values.where((place == target)[:, None], scores.gather(1, place[:, None])),
    )


def _is_target(scores: Tensor, target: Tensor) -> Tensor:
    """Return (N, C), True at each row's target."""
    return target[:, None] == torch.arange(scores.size(1), device=scores.device)


def _target_probability(probabilities: Tensor, target: Tensor) -> Tensor:
    """Return each row's probability (N,) of its target; of class 0 without one."""
    return probabilities.gather(1, target.clamp(min=0)[:, None])[:, 0]


def _row_weight(weight: Tensor, target: Tensor, like: Tensor) -> Tensor:
    """Return the weight (N,) of each row's class; 1 without weights or a class."""
    if weight.numel() == 0:
        return like.new_ones(len(target))
    inside = (target >= 0) & (target < len(weight))
    return weight.to(like)[target.clamp(0, len(weight) - 1)].where(inside, 1)


def _check_target(target: Tensor, largest: int) -> None:
    if target.numel() and target.max() > largest:
        raise ValueError(
            f'target holds class {int(target.max())}, the largest allowed is '
            f'{largest}; label the rows without a class accordingly'
        )
