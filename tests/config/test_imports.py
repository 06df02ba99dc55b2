"""``custom_imports``, each failure with its true cause."""

import sys

import pytest
from one_problem import RETINANET, Reported, fix_it, write

from plugin.check import check
from plugin.config.problem import ERROR, WARNING

KEY = 'custom_imports.imports'


@pytest.fixture(autouse=True)
def on_the_path(tmp_path, monkeypatch):
    """The config's folder, from which nothing stays imported."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], '__file__', None) is None or str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def imports(*names, allow=False):
    return f'custom_imports = dict(imports={list(names)}, allow_failed_imports={allow})'


def checked(tmp_path, *names):
    return check(str(write(tmp_path, RETINANET, imports(*names))))


def test_a_typing_error_gets_the_nearest_of_ours(tmp_path):
    fixed = fix_it(
        write(tmp_path, RETINANET, imports('plugin.dett')),
        Reported(
            KEY,
            'import',
            ERROR,
            "plugin.dett: ModuleNotFoundError: No module named 'plugin.dett'",
            ['plugin.det', 'plugin.seg'],
            f"{KEY}=['plugin.det']",
        ),
    )
    assert fixed.custom_imports.imports == ['plugin.det']


def test_a_module_beside_is_found_by_its_likeness(tmp_path):
    (tmp_path / 'my_network.py').write_text('')
    (problem,) = checked(tmp_path, 'my_netwrok')
    assert problem.in_short == f"{KEY}=['my_network']"


def test_several_that_fail_are_mended_by_one_line(tmp_path):
    first, second = checked(tmp_path, 'plugin.dett', 'mmdet.modls')
    assert first.in_short == second.in_short == f"{KEY}=['plugin.det', 'mmdet.models']"


def test_a_package_that_is_missing_inside_a_module_is_named(tmp_path):
    (tmp_path / 'my_net.py').write_text('import sys\nimport sklearnn.svm\n')
    (problem,) = checked(tmp_path, 'my_net')
    assert problem.found == (
        "my_net: ModuleNotFoundError: No module named 'sklearnn' "
        f'({tmp_path}/my_net.py, line 2)'
    )
    assert problem.in_short == '$ pip install sklearnn'


def test_any_other_exception_is_told_with_its_place(tmp_path):
    (tmp_path / 'my_net.py').write_text('x = 1\ny = x / 0\n')
    (problem,) = checked(tmp_path, 'my_net')
    assert problem.found == (
        f'my_net: ZeroDivisionError: division by zero ({tmp_path}/my_net.py, line 2)'
    )
    assert problem.in_short == "$ python -c 'import my_net'"


def test_a_module_in_a_folder_above_asks_for_the_path(tmp_path):
    (tmp_path / 'elsewhere_pkg').mkdir()
    (tmp_path / 'configs').mkdir()
    sys.path.remove(str(tmp_path))
    (tmp_path / 'elsewhere_pkg' / 'nets.py').write_text('')
    path = write(tmp_path / 'configs', RETINANET, imports('elsewhere_pkg.nets'))
    (problem,) = check(str(path))
    assert problem.in_short == f'$ export PYTHONPATH={tmp_path}:$PYTHONPATH'


def test_the_other_checks_go_on_after_an_import_that_fails(tmp_path):
    text = (
        imports('plugin.dett') + '\nmodel = dict(neck=dict(in_channels=[1, 2, 3, 4]))'
    )
    problems = check(str(write(tmp_path, RETINANET, text)))
    assert [p.kind for p in problems] == ['import', 'channels']


def test_allowed_failures_are_a_warning(tmp_path):
    key = 'custom_imports.allow_failed_imports'
    fixed = fix_it(
        write(tmp_path, RETINANET, imports('plugin.det', allow=True)),
        Reported(key, 'import', WARNING, True, False, f'{key}=False'),
    )
    assert fixed.custom_imports.allow_failed_imports is False


@pytest.mark.parametrize(
    'written', ["dict(import_=['plugin.det'])", "['plugin.det']", "'plugin.det'"]
)
def test_another_form_than_mmengine_takes_is_written_right(tmp_path, written):
    path = write(tmp_path, RETINANET, f'custom_imports = {written}')
    (problem,) = check(str(path))
    right = {'imports': ['plugin.det'], 'allow_failed_imports': False}
    assert (problem.kind, problem.expected) == ('import', right)
    fix_it(path, problem)


def test_what_another_config_imports_is_not_there_for_the_next(tmp_path):
    (tmp_path / 'my_hooks.py').write_text(
        'from mmengine.hooks import Hook\n'
        'from mmengine.registry import HOOKS\n'
        '@HOOKS.register_module(force=True)\n'
        'class OnlyOnceHook(Hook):\n'
        '    pass\n'
    )
    hooks = "\ncustom_hooks = [dict(type='OnlyOnceHook')]"
    first = write(tmp_path, RETINANET, imports('my_hooks') + hooks)
    assert check(str(first)) == []
    path = write(tmp_path, RETINANET, hooks)
    (problem,) = check(str(path))
    assert (problem.key, problem.kind) == ('custom_hooks[0].type', 'registry')
    assert problem.found == 'OnlyOnceHook, which my_hooks has'
    fix_it(path, problem)
