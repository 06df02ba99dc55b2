"""transformers beside mmpretrain: what cannot be imported together is left out."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

from plugin.weights.transformers_guard import is_too_new

COPIES = (
    'plugin/weights/transformers_guard.py',
    'mmcv-lite-ops/src/mmcv/_ext_ops/transformers_guard.py',
)


@pytest.fixture
def packages(tmp_path):
    """Make a folder with transformers of a version, and a stand-in of mmpretrain."""

    def install(name, version, /, **files):
        info = tmp_path / f'{name}-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Name: {name}\nVersion: {version}\n')
        for path, text in files.items():
            file = tmp_path / name / f'{path}.py'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return install


@pytest.fixture
def python(repo_root, tmp_path):
    """Run code with the stand-ins, and return what it printed."""

    def run(code, copy=COPIES[0], **variables):
        load = f"""
            import sys
            from importlib.util import module_from_spec, spec_from_file_location
            def load(file):
                name = f'a{{len(sys.modules)}}.transformers_guard'
                spec = spec_from_file_location(name, file)
                module = module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
            guard = load({str(repo_root / copy)!r})
            other = load({str(repo_root / COPIES[1])!r})
        """
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', f'{dedent(load)}\n{dedent(code)}'],
            env={**os.environ, 'PYTHONPATH': str(tmp_path), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout.splitlines()

    return run


@pytest.fixture
def mmpretrain(packages):
    """A stand-in that imports its multimodal models as the real one does."""

    def install(version):
        packages(
            'mmpretrain',
            version,
            **{
                '__init__': 'import mmpretrain.utils.dependency\n',
                'version': f'__version__ = {version!r}\n',
                'utils/__init__': '',
                'utils/dependency': 'WITH_MULTIMODAL = True\n',
                'models/__init__': dedent("""
                    from mmpretrain.utils.dependency import WITH_MULTIMODAL
                    if WITH_MULTIMODAL:
                        from transformers import what_has_moved
                """),
            },
        )

    return install


IMPORT = """
try:
    import mmpretrain.models
    print('imported')
except ImportError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize('copy', COPIES)
@pytest.mark.parametrize('before', ['', 'import mmpretrain\n'])
def test_with_the_guard_mmpretrain_is_imported(
    packages, mmpretrain, python, copy, before
):
    mmpretrain('1.2.0')
    packages('transformers', '5.24.0', __init__='')
    assert python(f'{before}{IMPORT}', copy) == ['ImportError']
    assert python(f'{before}guard.apply()\n{IMPORT}', copy) == ['imported']


def test_the_variable_switches_it_off(packages, mmpretrain, python):
    mmpretrain('1.2.0')
    packages('transformers', '5.24.0', __init__='')
    code = f'guard.apply()\n{IMPORT}'
    assert python(code, MM_BACKBONE_PATCHES='0') == ['ImportError']


def test_a_transformers_that_works_is_used(packages, mmpretrain, python):
    mmpretrain('1.2.0')
    packages('transformers', '4.51.3', __init__='what_has_moved = 1')
    code = """
        guard.apply()
        import mmpretrain.models
        print(mmpretrain.utils.dependency.WITH_MULTIMODAL)
        print(mmpretrain.models.what_has_moved)
    """
    assert python(code) == ['True', '1']


@pytest.mark.parametrize('before', ['', 'import mmpretrain\n'])
def test_removing_it_leaves_the_decision_to_mmpretrain(
    packages, mmpretrain, python, before
):
    mmpretrain('1.2.0')
    packages('transformers', '5.24.0', __init__='')
    code = f"""
{before}
finders = list(sys.meta_path)
guard.apply()
guard.apply()
other.apply()
print(len(sys.meta_path) - len(finders))
guard.remove()
print(sys.meta_path == finders)
import mmpretrain
print(mmpretrain.utils.dependency.WITH_MULTIMODAL)
print([n for n in vars(mmpretrain.utils.dependency) if 'guard' in n])
{IMPORT}
"""
    added = '0' if before else '1'
    assert python(code) == [added, 'True', 'True', '[]', 'ImportError']


@pytest.mark.parametrize(
    ('transformers', 'mmpretrain', 'too_new'),
    [
        ('4.51.3', '1.2.0', False),
        ('4.52.1', '1.2.0', True),
        ('5.0.0rc1', '1.2.0', True),
        ('4.57.6', '1.3.6', False),
        ('5.0.0', '1.3.6', True),
        ('5.24.0', '1.4.0', False),
    ],
)
def test_what_is_too_new(transformers, mmpretrain, too_new):
    assert is_too_new(transformers, mmpretrain) is too_new


def test_both_distributions_have_the_same_file(repo_root):
    first, second = ((repo_root / copy).read_text() for copy in COPIES)
    assert first == second


# What mmpretrain makes of the real one is a TypeError, which mmdet does not expect.
WITHOUT_THE_NAMES = """
import sys
def __getattr__(name):
    importer = sys._getframe(1).f_globals['__name__']
    raise (TypeError if importer.startswith('mmpretrain') else AttributeError)(name)
"""


@pytest.mark.slow
def test_the_libraries_are_imported_beside_a_transformers_that_is_too_new(packages):
    folder = packages('transformers', '5.24.0', __init__=WITHOUT_THE_NAMES)
    # What `mim train mmyolo` imports before it reads a config, and then mmdet's.
    code = 'import mmyolo.utils, mmdet.models as m; print(m.GroundingDINO)'
    for switch, status in (('1', 0), ('0', 1)):
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', code],
            env={
                **os.environ,
                'PYTHONPATH': str(folder),
                'MM_BACKBONE_PATCHES': switch,
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr[-2000:]
    assert 'TypeError: ' in done.stderr
