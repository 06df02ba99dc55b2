"""Comments that ignore a rule on a line, and those that ignore nothing."""

import pytest

from plugin.check import examine

pytestmark = pytest.mark.slow

BASE = "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'"
DET = "custom_imports = dict(imports=['plugin.det'], allow_failed_imports={})"
ALLOWED = DET.format(True)
WRONG = 'model = dict(neck=dict(in_channels=[1, 2, 3, 4]))'


@pytest.fixture
def found(tmp_path):
    def write(*lines, name='config.py', **kwargs):
        """(rule, severity) of each problem of a config with these lines."""
        (tmp_path / name).write_text('\n'.join(lines) + '\n')
        problems = examine(str(tmp_path / name), **kwargs).problems
        return [(problem.rule, problem.found) for problem in problems]

    return write


def names(problems):
    return [rule for rule, _ in problems]


def test_a_comment_on_the_line_that_is_shown_ignores_its_rule_there(found):
    assert names(found(BASE, ALLOWED, WRONG)) == ['imports', 'maps']
    assert names(found(BASE, ALLOWED, f'{WRONG}  # plugin: ignore[maps]')) == [
        'imports'
    ]


def test_of_a_dict_on_several_lines_the_line_of_the_key_counts(found):
    head, line = 'model = dict(', '    neck=dict(in_channels=[1, 2, 3, 4]))'
    comment = '  # plugin: ignore[maps]'
    assert names(found(BASE, head, line)) == ['maps']
    assert found(BASE, head, line + comment) == []
    assert names(found(BASE, head + comment, line)) == ['maps', 'unused-ignore']


def test_several_rules_in_one_comment(found):
    line = f'{WRONG}; {ALLOWED}  # plugin: ignore[maps, imports] for now'
    assert found(BASE, line) == []


def test_what_comes_from_a_base_is_ignored_on_the_line_of_that_base(found):
    found(BASE, WRONG, name='mine.py')
    assert names(found("_base_ = './mine.py'")) == ['maps']
    assert found("_base_ = './mine.py'  # plugin: ignore[maps]") == []
    several = ['_base_ = [', "    './mine.py',  # plugin: ignore[maps]", ']']
    assert found(*several) == []


def test_what_is_ignored_in_a_base_of_the_user_s_is_ignored_in_its_children(found):
    found(BASE, f'{WRONG}  # plugin: ignore[maps]', name='mine.py')
    assert found("_base_ = './mine.py'") == []


def test_a_comment_that_ignores_nothing_is_a_warning(found, tmp_path):
    right = 'model = dict(neck=dict(num_outs=5))  # plugin: ignore[maps]'
    assert found(BASE, right) == [('unused-ignore', 'ignore[maps]')]
    (problem,) = examine(str(tmp_path / 'config.py')).problems
    assert (problem.severity, problem.line, problem.column) == ('warning', 2, 38)


def test_a_rule_that_there_is_not_gets_the_nearest(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(f'{BASE}\nlr = 1  # plugin: ignore[mapps]\n')
    (problem,) = examine(str(path)).problems
    assert problem.expected == 'the name of a rule, such as maps'


def test_a_comment_about_a_rule_that_did_not_look_is_left_alone(found):
    right = 'model = dict(neck=dict(num_outs=5))  # plugin: ignore[maps]'
    assert found(BASE, right, select=['weights', 'unused-ignore']) == []
    assert found(BASE, right, ignore=['unused-ignore']) == []


def test_a_string_is_no_comment(found):
    assert found(BASE, "name = '# plugin: ignore[maps]'") == []
