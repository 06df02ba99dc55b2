"""The parts of batch normalization over several processes (``MMSyncBN``).

mmcv's Python shares the sums among the processes in between. Maps are (N, C, H * W),
and views of mmcv's own tensors: buffers are written in place. Statistics, ``norm`` and
``std`` are float32 whatever the maps are.

Source: mmcv 2.0.1, ops/csrc/common/cuda/sync_bn_cuda_kernel.cuh.
"""

from torch import Tensor


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Write the mean of each channel of this process's maps into ``mean`` (C,)."""
    mean.copy_(input.to(mean).mean((0, 2)))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Write the mean squared distance from ``mean`` (C,) into ``var`` (C,)."""
    var.copy_((input.to(mean) - mean[:, None]).square_().mean((0, 2)))


def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float | Tensor,
    group_size: int,
) -> None:
    """Normalize the maps, and move the running statistics towards the batch's.

    Args:
        input: (N, C, L).
        mean: (C,) of all processes.
        var: (C,) of all processes, not corrected for the number of samples.
        weight: (C,).
        bias: (C,).
        running_mean: (C,), or None for statistics that are not kept.
        running_var: (C,), or None; the batch's share is corrected for the samples.
        norm: (N, C, L); becomes the maps with mean 0 and variance 1.
        std: (C,); becomes the root of ``var + eps``.
        output: (N, C, L); becomes ``norm * weight + bias``.
        eps: Added to the variance.
        momentum: Share of this batch in the running statistics.
        group_size: Number of processes, each taken to have as many samples.
    """
    std.copy_((var + eps).sqrt_())
    norm.copy_((input.to(norm) - mean[:, None]).div_(std[:, None]))
    output.copy_(norm * weight[:, None] + bias[:, None])
    if running_mean is not None:
        samples = input.size(0) * input.size(2) * group_size
        unbiased = var * (samples / (samples - 1)) if samples > 1 else var
        for running, batch in ((running_mean, mean), (running_var, unbiased)):
            running.copy_(momentum * batch + (1 - momentum) * running)


def sync_bn_backward_param(
    grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor
) -> None:
    """Write this process's gradients of weight and bias, both (C,)."""
    grad = grad_output.to(norm)
    grad_weight.copy_((grad * norm).sum((0, 2)))
    grad_bias.copy_(grad.sum((0, 2)))


def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Write the gradient of the maps, from those of weight and bias of all processes.

    Those are means over the processes, so that the number of samples is this one's.
    """
    samples = norm.size(0) * norm.size(2)
    through_statistics = (norm * grad_weight[:, None] + grad_bias[:, None]) / samples
    grad = grad_output.to(norm) - through_statistics
    grad_input.copy_(grad * (weight / std)[:, None])
