"""`with_cp` of any timm model: the same gradients from blocks that run twice."""

import pytest
import torch

from plugin.registry import MODELS


def build(model_name, with_cp, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='plugin.TIMMBackbone',
            model_name=model_name,
            with_cp=with_cp,
            **kwargs,
        )
    )


def gradients(module, block):
    """Gradients of one step, and how often a block began to run for it."""
    runs = []
    module.get_submodule(f'timm_model.{block}').register_forward_pre_hook(
        lambda *args: runs.append(1)
    )
    torch.manual_seed(1)
    sum((y**2).mean() for y in module(torch.rand(2, 3, 64, 64))).backward()
    return {n: p.grad for n, p in module.named_parameters()}, len(runs)


@pytest.mark.parametrize(
    ('model_name', 'block', 'kwargs'),
    [
        ('test_vit', 'model.blocks.1', dict(out_indices=(2, -1))),
        ('test_convnext', 'stages_2', {}),
    ],
)
def test_blocks_run_again_in_the_backward_pass(model_name, block, kwargs):
    plain, once = gradients(build(model_name, False, **kwargs), block)
    found, twice = gradients(build(model_name, True, **kwargs), block)
    assert (once, twice) == (1, 2)
    assert plain.keys() == found.keys()
    for name, grad in plain.items():
        assert torch.allclose(grad, found[name], atol=1e-6), name


def test_a_model_without_it_is_refused():
    with pytest.raises(ValueError, match='no gradient checkpointing for hrnet'):
        build('hrnet_w18_small', True)
