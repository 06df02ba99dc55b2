"""Every ready config trains, by its own library's Runner, on the shapes data set."""

import math
from importlib import import_module

import pytest
from mmengine.runner import Runner
from ready_configs import LIBRARIES, READY, lightest, on_shapes, task
from two_iterations import Watch

LIGHTEST = lightest()


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [pytest.param(n, marks=[] if n in LIGHTEST else pytest.mark.wide) for n in READY],
)
def test_two_iterations_and_a_validation(name, device, shapes, tmp_path):
    cfg = on_shapes(name, shapes, tmp_path, device)
    import_module(f'{LIBRARIES[task(name)]}.models')
    runner = Runner.from_cfg(cfg)
    watch = Watch()
    runner.register_hook(watch)
    runner.train()

    assert len(watch.losses) == 2 and all(map(math.isfinite, watch.losses))
    # DistributedDataParallel stops at a parameter without a gradient unless told so.
    without = watch.trainable - watch.reached
    assert bool(watch.trainable) == ('frozen' not in name)
    assert bool(without) == cfg.get('find_unused_parameters', False)
    groups = runner.optim_wrapper.optimizer.param_groups
    trained = {id(p) for group in groups for p in group['params']}
    unfrozen = any('Unfreeze' in hook.type for hook in cfg.get('custom_hooks', []))
    # What is frozen for good needs no place in the optimizer; mmengine gives it none.
    wanted = {
        name: id(p)
        for name, p in runner.model.named_parameters()
        if p.requires_grad or unfrozen
    }
    assert [name for name, i in wanted.items() if i not in trained] == []
    assert watch.validated == 2
