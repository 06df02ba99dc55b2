"""Each rule of registering our classes in the downstream libraries."""

import subprocess
import sys

import pytest

# Task package: (library, everything of OpenMMLab's that the library itself needs).
TASKS = {
    'det': ('mmdet', {'mmdet'}),
    'seg': ('mmseg', {'mmseg'}),
    'yolo': ('mmyolo', {'mmyolo', 'mmdet'}),
    'cls': ('mmpretrain', {'mmpretrain'}),
}
LIBRARIES = {'mmdet', 'mmseg', 'mmyolo', 'mmpretrain'}
# What each library has under one of our names already.
OWNED = {'mmseg': {'TIMMBackbone'}, 'mmpretrain': {'ConvNeXt', 'TIMMBackbone'}}


@pytest.fixture
def python(repo_root, tmp_path, warm_python):
    """Runs code in its own process, with some packages made unimportable."""

    def run(
        code: str,
        blocked: set[str] = frozenset(),
        check: bool = True,
        interpreter: str = warm_python,
    ):
        block = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {set(blocked)!r}:
            raise ModuleNotFoundError('blocked: ' + name, name=name)
sys.meta_path.insert(0, Block())
"""
        done = subprocess.run(
            [interpreter, '-c', block + code],
            cwd=tmp_path,
            env={'PYTHONPATH': str(repo_root), 'PATH': '', 'OMP_NUM_THREADS': '1'},
            capture_output=True,
            text=True,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.mark.slow
@pytest.mark.parametrize('library', sorted(LIBRARIES))
def test_scoped_names_resolve_in_every_library_with_nothing_imported(python, library):
    python(f"""
import {library}
from mmengine.registry import DefaultScope
from {library} import registry
DefaultScope.get_instance('test', scope_name={library!r})
registry.MODELS.build(dict(type='plugin.ConvNeXt', arch='atto'))
from mmengine.registry import HOOKS, MODELS
MODELS.build(dict(type='plugin.ConvNeXt', arch='atto'))
HOOKS.build(dict(type='plugin.UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1))
assert registry.OPTIM_WRAPPER_CONSTRUCTORS.get(
    'plugin.LayerDecayOptimWrapperConstructor'
)
""")


@pytest.mark.slow
@pytest.mark.parametrize('task', TASKS)
def test_a_task_package_alone_registers_everything_but_what_the_library_owns(
    python, task
):
    library, needs = TASKS[task]
    python(
        f"""
import plugin.{task}, plugin.registry
from {library} import registry
owned = {OWNED.get(library, set())!r}
seen = set()
for kind in ('MODELS', 'HOOKS', 'OPTIM_WRAPPER_CONSTRUCTORS'):
    for name, cls in getattr(plugin.registry, kind).module_dict.items():
        seen.add(name)
        got = getattr(registry, kind).get(name)
        if name in owned:
            assert got.__module__.startswith({library!r}), got
        else:
            assert got is cls, (name, got)
assert seen >= {{
    'ConvNeXt', 'TIMMBackbone', 'LayerDecayOptimWrapperConstructor',
    'UnfreezeBackboneEpochBasedHook', 'UnfreezeBackboneIterBasedHook',
    'FasterTrainingHook',
}}, seen
assert owned <= seen
""",
        blocked=LIBRARIES - needs,
    )


@pytest.mark.slow
def test_importing_the_package_imports_no_library(python):
    code = """
import plugin, sys
assert not {m for m in sys.modules if m.startswith(('mm', 'torch', 'timm'))}
"""
    python(code, interpreter=sys.executable)


@pytest.mark.slow
def test_registering_again_is_harmless(python):
    python("""
import importlib
import plugin.det
from mmdet.registry import MODELS
first = MODELS.get('ConvNeXt')
importlib.reload(plugin.det)
assert MODELS.get('ConvNeXt') is first
""")


@pytest.mark.slow
def test_a_name_held_by_a_third_party_raises_and_names_the_holder(python):
    done = python(
        """
from mmdet.registry import MODELS
@MODELS.register_module()
class ConvNeXt: pass
import plugin.det
""",
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert "ValueError: 'ConvNeXt' in mmdet's model registry is held by" in last
    assert '__main__.ConvNeXt' in last
    assert "write type='plugin.ConvNeXt' for ours" in last


@pytest.mark.slow
def test_a_users_own_backbone_is_not_published_under_its_plain_name(python):
    python("""
from plugin.registry import MODELS
@MODELS.register_module()
class Mine: pass
import plugin.det
from mmdet.registry import MODELS as theirs
assert theirs.get('plugin.Mine') is Mine
assert 'Mine' not in theirs.module_dict
""")


@pytest.mark.slow
def test_a_broken_backbone_file_shows_its_own_error(python, repo_root, tmp_path):
    """mmengine swallows an ImportError in plugin.registry, but not one behind it."""
    import shutil

    copy = tmp_path / 'copy'
    shutil.copytree(repo_root / 'plugin', copy / 'plugin')
    with open(copy / 'plugin/backbones/convnext.py', 'a') as file:
        file.write('import a_package_that_is_not_there\n')
    done = python(
        f"""
sys.path.insert(0, {str(copy)!r})
from mmengine.registry import MODELS
MODELS.build(dict(type='plugin.ConvNeXt', arch='atto'))
""",
        check=False,
    )
    assert "No module named 'a_package_that_is_not_there'" in done.stderr


@pytest.mark.slow
def test_a_backbone_is_one_file_and_one_line(python, repo_root, tmp_path):
    """Registered in every library and listed, after adding it to a copy."""
    import shutil

    copy = tmp_path / 'copy'
    shutil.copytree(repo_root / 'plugin', copy / 'plugin')
    (copy / 'plugin/backbones/twolayer.py').write_text("""
from torch import nn
from plugin.registry import MODELS
@MODELS.register_module()
class TwoLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 16, 2, 2)
    def forward(self, x):
        x = self.a(x)
        return x, self.b(x)
""")
    catalogue = copy / 'plugin/backbones/__init__.py'
    text = catalogue.read_text()
    line = "    Entry('TwoLayer', 'twolayer', 'none'),\n"
    assert 'CATALOGUE = (\n' in text
    catalogue.write_text(text.replace('CATALOGUE = (\n', 'CATALOGUE = (\n' + line))
    python(f"""
sys.path.insert(0, {str(copy)!r})
import plugin.det, plugin.seg, plugin.yolo, plugin.cls
from plugin.measure.features import feature_spec
for library in ('mmdet', 'mmseg', 'mmyolo', 'mmpretrain'):
    registry = __import__(library + '.registry').registry
    for name in ('TwoLayer', 'plugin.TwoLayer'):
        spec = feature_spec(registry.MODELS.build(dict(type=name)))
        assert spec.channels == (8, 16) and spec.strides == (4, 8)
from plugin.backbones import CATALOGUE
assert 'TwoLayer' in {{entry.name for entry in CATALOGUE}}
""")
