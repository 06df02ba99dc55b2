"""The patches: all of them listed, each put back, and off when that is wanted."""

import os
import re
import subprocess
from importlib import metadata

import pytest
import timm.models._builder  # noqa: F401
import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import PretrainedInit
from mmengine.runner import CheckpointLoader
from mmpretrain.utils import dependency  # noqa: F401
from torch import nn

from plugin.weights import patches, patching
from plugin.weights.audit.report import PretrainedError
from plugin.weights.initializing import FILLED_IN
from plugin.weights.patches import (
    AUDIT,
    IMPORTS,
    PATCHES,
    SAFE_READING,
    TIMM_READING,
)
from plugin.weights.transformers_guard import is_too_new

# What another package has, by dotted path: everything in its modules and classes.
SNAPSHOT = """
import sys
import types

def snapshot():
    found = {}
    for module in [m for n, m in sorted(sys.modules.items()) if n.split('.')[0] in
                   ('mmengine', 'mmdet', 'mmseg', 'mmpretrain', 'mmcv', 'timm',
                    'torch', 'torchvision', 'numpy', 'safetensors', 'os', 'logging')]:
        if not isinstance(module, types.ModuleType):
            continue
        for name, value in list(vars(module).items()):
            found[f'{module.__name__}.{name}'] = id(value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                for inner, held in list(vars(value).items()):
                    found[f'{module.__name__}.{name}.{inner}'] = id(held)
    # What these hold counts, and not which object holds it.
    from mmengine.runner import CheckpointLoader
    from torch import _weights_only_unpickler as unpickler
    found['mmengine.runner.checkpoint.CheckpointLoader._schemes'] = list(
        CheckpointLoader._schemes.items())
    found['torch._weights_only_unpickler._marked_safe_globals_set'] = set(
        unpickler._marked_safe_globals_set)
    # A counter of torch's.
    found.pop('torch.utils.hooks.RemovableHandle.next_id')
    return found

def changed(before, after):
    # Modules that are imported late, and what their import adds.
    return sorted(n for n in before if n in after and before[n] != after[n])
"""


@pytest.fixture
def nothing_installed():
    patches.remove()
    yield
    patches.install()


def too_new():
    try:
        transformers = metadata.version('transformers')
    except metadata.PackageNotFoundError:
        return False
    return is_too_new(transformers, metadata.version('mmpretrain'))


def attributes():
    """Return what the records name; of a container what is in it."""
    found = {}
    for patch in PATCHES:
        value = vars(patch.holder())[patch.attribute]
        is_container = isinstance(value, (dict, set, list))
        found[patch.name] = value.copy() if is_container else value
    return found


def same(before, after):
    return [
        name
        for name, value in before.items()
        if value is after[name]
        or (isinstance(value, (dict, set, list)) and value == after[name])
    ]


class Own(BaseModule):
    """Overrides ``init_weights``."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(1, 2, 3)

    def init_weights(self):
        BaseModule.init_weights(self)


def test_every_attribute_is_as_it_was_after_remove(nothing_installed):
    before = attributes()
    own = vars(Own)['init_weights']
    patches.install()
    during = attributes()
    # It is there only beside a transformers that is too new.
    flag = [] if too_new() else ['mmpretrain.utils.dependency.WITH_MULTIMODAL']
    assert same(before, during) == [*flag, 'sys.meta_path']
    Own().init_weights()
    Late = type('Late', (Own,), {'init_weights': lambda self: Own.init_weights(self)})
    late = vars(Late)['init_weights']
    Late().init_weights()
    assert vars(Own)['init_weights'] is not own
    assert vars(Late)['init_weights'] is not late
    patches.remove()
    assert same(before, attributes()) == list(before)
    assert vars(Own)['init_weights'] is own
    assert vars(Late)['init_weights'] is late
    Late().init_weights()
    assert vars(Late)['init_weights'] is late


@pytest.mark.slow
def test_nothing_is_replaced_that_is_not_listed(warm_python):
    """Over all attributes of all modules and classes of the packages."""
    code = f"""{SNAPSHOT}
import mmdet.models, mmseg.models, mmpretrain.models, timm.models._builder
import numpy as np
from plugin.weights import patches
from mmengine.registry import MODELS
before = snapshot()
patches.install()
replaced = changed(before, snapshot())
MODELS.build(dict(type='mmdet.SwinTransformer', embed_dims=12, depths=(1,) * 4,
                  num_heads=(1,) * 4)).init_weights()
used = changed(before, snapshot())
patches.remove()
print('REPLACED', *replaced)
print('USED', *[name for name in used if name not in replaced])
print('LEFT', *changed(before, snapshot()))
"""
    done = subprocess.run(
        [warm_python, '-W', 'ignore', '-c', code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = {
        line.split()[0]: set(line.split()[1:])
        for line in done.stdout.splitlines()
        if line.startswith(('REPLACED', 'USED', 'LEFT'))
    }
    # mmcv-lite-ops sets this one before the first snapshot; `remove` puts it back too.
    flag = {'mmpretrain.utils.dependency.WITH_MULTIMODAL'} if too_new() else set()
    assert found['LEFT'] == flag
    # Whoever has imported one of these by name is not reached.
    assert found['REPLACED'] <= {patch.name for patch in PATCHES}
    assert found['REPLACED'] >= {patch.name for patch in AUDIT}
    swin = 'mmdet.models.backbones.swin.SwinTransformer.init_weights'
    assert swin in found['USED']
    assert all(name.endswith('.init_weights') for name in found['USED'])


def test_installing_twice_is_harmless(nothing_installed):
    patches.install()
    once = attributes()
    Own()
    own = vars(Own)['init_weights']
    patches.install()
    Own()
    assert same(once, attributes()) == list(once)
    assert vars(Own)['init_weights'] is own
    patches.remove()
    assert not hasattr(vars(BaseModule)['init_weights'], '__wrapped__')


def test_removing_twice_or_before_installing_is_harmless(nothing_installed):
    before = attributes()
    patches.remove()
    assert same(before, attributes()) == list(before)


def nothing_that_fits(tmp_path):
    torch.save({'a.b': torch.ones(3)}, tmp_path / 'a.pth')
    return str(tmp_path / 'a.pth')


def test_what_others_have_put_over_a_patch_is_left_to_them(nothing_installed, tmp_path):
    """It then calls the original, not the replacement."""
    original = PretrainedInit.__call__
    patches.install()
    ours = PretrainedInit.__call__

    def theirs(self, module):
        return ours(self, module)

    PretrainedInit.__call__ = theirs
    try:
        patches.remove()
        assert PretrainedInit.__call__ is theirs
        # mmengine logs where ours raises PretrainedError.
        PretrainedInit(nothing_that_fits(tmp_path))(nn.Linear(1, 1))
        assert ours.__wrapped__ is original
    finally:
        PretrainedInit.__call__ = original


def test_an_alias_kept_from_before_remove_is_without_effect(
    nothing_installed, tmp_path
):
    patches.install()
    Own()
    Alias = type('Alias', (Own,), {'init_weights': Own.init_weights})
    cfg = dict(type='Pretrained', checkpoint=nothing_that_fits(tmp_path))
    with pytest.raises(PretrainedError):
        Alias(cfg).init_weights()
    kept = Own.init_weights
    patches.remove()
    kept(Alias(cfg))
    assert not hasattr(Own.init_weights, '__wrapped__')


# Off when wanted


def test_with_the_variable_at_0_only_safe_reading_is_installed(
    nothing_installed, monkeypatch, tmp_path
):
    monkeypatch.setenv('MM_BACKBONE_PATCHES', '0')
    before = attributes()
    patches.install()
    untouched = same(before, attributes())
    reading = {patch.name for patch in (*SAFE_READING, *TIMM_READING)}
    others = [patch.name for patch in (*AUDIT, *IMPORTS)]
    assert untouched == [name for name in others if name not in reading]
    torch.save({'conv.weight': torch.ones(2, 1, 3, 3)}, tmp_path / 'a.pth')
    source = vars(Own)['init_weights']
    module = Own(dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth')))
    module.init_weights()
    assert vars(Own)['init_weights'] is source
    assert torch.equal(module.conv.weight, torch.ones(2, 1, 3, 3))

    class Payload:
        def __reduce__(self):
            return print, ('ran',)

    torch.save({'a': Payload()}, tmp_path / 'hostile.pth')
    with pytest.raises(ValueError, match='is refused'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'hostile.pth'))
    patches.remove()
    assert same(before, attributes()) == list(before)


@pytest.mark.parametrize('value', ['no', 'false', '2'])
def test_another_value_of_the_variable_is_refused(monkeypatch, value):
    monkeypatch.setenv('MM_BACKBONE_PATCHES', value)
    with pytest.raises(ValueError, match='must be 0, .* or 1'):
        patches.install()


@pytest.mark.slow
def test_a_task_package_keeps_to_the_variable(warm_python):
    # With a transformers that is too new mmpretrain does not import without the guard.
    code = (
        "import sys; sys.modules['mmpretrain'] = None\n"
        'import plugin.det\n'
        'from mmengine.model import BaseModule\n'
        'from mmengine.runner import CheckpointLoader\n'
        "print(hasattr(BaseModule.init_weights, '__wrapped__'))\n"
        "print('timm://' in CheckpointLoader._schemes)"
    )
    results = {}
    for value in '0', '1':
        done = subprocess.run(
            [warm_python, '-W', 'ignore', '-c', code],
            env={**os.environ, 'MM_BACKBONE_PATCHES': value},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        results[value] = done.stdout.split()
    assert results == {'0': ['False', 'True'], '1': ['True', 'True']}


def test_a_package_that_lacks_what_is_replaced_is_named(nothing_installed):
    gone = patching.Patch(
        'mmengine.runner', 'gone', '', '', '', '', lambda original: original
    )
    with pytest.raises(
        RuntimeError, match=r'mmengine\.runner\.gone, which .*PATCHES=0'
    ):
        patching.install((gone,))
    patching.remove()


# The list


@pytest.mark.parametrize('patch', PATCHES, ids=lambda patch: patch.name)
def test_every_record_says_all_of_it(patch):
    for text in (patch.what, patch.why, patch.reach):
        assert len(text.split()) > 2
    packages = r'(mmengine|mmdet|mmsegmentation|mmpretrain|timm) \d+\.\d+\.\d+'
    assert re.match(packages, patch.until)
    assert ': when ' in patch.until or ': with ' in patch.until
    assert patch.holder() is not None and patch.attribute in vars(patch.holder())


def test_the_top_of_the_file_names_every_patch():
    rows = re.findall(r'``(.+?)``', patches.__doc__)
    for patch in PATCHES:
        assert any(patch.name.endswith(row) for row in rows), patch.name


def test_the_page_has_the_records(repo_root):
    page = (repo_root / 'docs/patches.md').read_text()
    for patch in PATCHES:
        entry = (
            f'### `{patch.name}`\n\n'
            f'- does: {patch.what}\n- because: {patch.why}\n'
            f'- reaches: {patch.reach}\n- goes with {patch.until}\n'
        )
        assert entry in page, f'docs/patches.md lacks:\n\n{entry}'
    assert page.count('\n### `') == len(PATCHES)
    for cls, reason in FILLED_IN.items():
        row = f'| `{cls}` | {reason} |\n'
        assert row in page, f'docs/patches.md lacks:\n\n{row}'
    assert page.count('\n| `mm') == len(FILLED_IN)
