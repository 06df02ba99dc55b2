"""The operators that mmcv's Python wrappers look up in ``mmcv._ext``.

mmcv-lite has no compiled ``mmcv._ext``. This module stands in for it, and only for
as long: in one folder Python takes a compiled ``_ext`` before ``_ext.py``, so that a
full mmcv is never shadowed.
"""

from collections.abc import Callable

import torch
import torchvision

from ._ext_ops import transformers_guard
from ._ext_ops.boxes import bbox_overlaps, nms, nms_match, softnms
from ._ext_ops.carafe import (
    carafe_backward,
    carafe_forward,
    carafe_naive_backward,
    carafe_naive_forward,
)
from ._ext_ops.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
)
from ._ext_ops.deform_roi_pool import (
    deform_roi_pool_backward,
    deform_roi_pool_forward,
)
from ._ext_ops.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from ._ext_ops.masked_conv import masked_col2im_forward, masked_im2col_forward
from ._ext_ops.modulated_deform_conv import (
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from ._ext_ops.ms_deform_attn import ms_deform_attn_backward, ms_deform_attn_forward
from ._ext_ops.psa_mask import psamask_backward, psamask_forward
from ._ext_ops.roi_align import roi_align_backward, roi_align_forward
from ._ext_ops.roi_pool import roi_pool_backward, roi_pool_forward
from ._ext_ops.sync_bn import (
    sync_bn_backward_data,
    sync_bn_backward_param,
    sync_bn_forward_mean,
    sync_bn_forward_output,
    sync_bn_forward_var,
)

# Every library's models import this module before they import mmpretrain's.
transformers_guard.apply()

__all__ = [
    'bbox_overlaps',
    'carafe_backward',
    'carafe_forward',
    'carafe_naive_backward',
    'carafe_naive_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'deform_roi_pool_backward',
    'deform_roi_pool_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'masked_col2im_forward',
    'masked_im2col_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'psamask_backward',
    'psamask_forward',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
    'softnms',
    'sync_bn_backward_data',
    'sync_bn_backward_param',
    'sync_bn_forward_mean',
    'sync_bn_forward_output',
    'sync_bn_forward_var',
]


def get_compiler_version() -> str:
    """Return what mmcv prints as its compiler, for ``mmcv.utils.collect_env``."""
    return f'none, mmcv-lite-ops on torchvision {torchvision.__version__}'


def get_compiling_cuda_version() -> str:
    """Return the CUDA version of the installed torch, or 'not available'."""
    return torch.version.cuda or 'not available'


def __getattr__(name: str) -> Callable[..., None]:
    # mmcv asserts that every operator exists when a module of mmcv.ops is imported,
    # all of them at once: a missing one may complain only when it is called.
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing(*args: object, **kwargs: object) -> None:
        raise NotImplementedError(
            f'mmcv-lite-ops has no {name!r}. A full mmcv has it, compiled for your '
            'torch: pip uninstall mmcv-lite mmcv-lite-ops, then '
            "mim install 'mmcv>=2.0.1,<2.1'"
        )

    missing.__name__ = missing.__qualname__ = name
    return missing
