"""Bases that are not there, with the names that are nearest."""

import pytest
from one_problem import Reported, fix_it, reported

from plugin.check import NotAConfig, check
from plugin.config.bases import base_problems
from plugin.config.problem import ERROR, assign

RIGHT = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
WRONG = 'mmdet::retinanet/retinanet_r50_fpn_1x_coc.py'
NEAR = [
    RIGHT,
    'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py',
    'mmdet::retinanet/retinanet_r101_fpn_1x_coco.py',
]


def base(found, expected, fix, key='_base_'):
    return Reported(key, 'base', ERROR, found, expected, fix)


def write(path, text):
    path.write_text(text)
    return path


def test_a_name_of_a_package_gets_the_three_nearest(tmp_path):
    path = write(tmp_path / 'a.py', f'_base_ = {WRONG!r}\n')
    fix_it(path, base(WRONG, NEAR, f'_base_={RIGHT!r}'))


def test_of_a_list_the_fix_is_the_whole_value_with_all_of_it_fixed(tmp_path):
    write(tmp_path / 'model.py', 'model = dict()\n')
    path = write(tmp_path / 'a.py', f"_base_ = ['./modle.py', {WRONG!r}]\n")
    first, second = base_problems(path)
    fix = f"_base_=['model.py', {RIGHT!r}]"
    assert reported(first) == base('./modle.py', ['model.py'], fix)
    assert reported(second) == base(WRONG, NEAR, fix)


def test_a_base_of_a_base_is_told_with_its_file(tmp_path):
    write(tmp_path / 'b.py', f'_base_ = {WRONG!r}\n')
    path = write(tmp_path / 'a.py', "_base_ = './b.py'\n")
    (problem,) = base_problems(path)
    assert problem.key == '_base_ of b.py'
    assert problem.in_short == f'_base_={RIGHT!r}'


def test_the_old_library_is_told_its_successor(tmp_path):
    path = write(tmp_path / 'a.py', "_base_ = 'mmcls::resnet/resnet50_8xb32_in1k.py'\n")
    (problem,) = base_problems(path)
    assert (
        problem.found == 'mmcls::resnet/resnet50_8xb32_in1k.py: mmcls is not installed'
    )
    assert problem.in_short == "_base_='mmpretrain::resnet/resnet50_8xb32_in1k.py'"


def test_a_library_that_is_not_installed_is_to_be_installed(tmp_path):
    text = "_base_ = 'mmrazor::_base_/nas_backbones/spos_shufflenet_supernet.py'\n"
    (problem,) = base_problems(write(tmp_path / 'a.py', text))
    assert problem.in_short == '$ mim install mmrazor'


def test_a_config_copied_out_of_a_library_finds_its_bases_there(tmp_path):
    (tmp_path / 'configs').mkdir()
    text = "_base_ = ['../_base_/models/retinanet_r50_fpn.py']\n"
    (problem,) = base_problems(write(tmp_path / 'configs/a.py', text))
    assert problem.in_short == "_base_=['mmdet::_base_/models/retinanet_r50_fpn.py']"


def test_what_is_far_is_named_and_not_offered(tmp_path):
    write(tmp_path / 'b.py', 'x = 1\n')
    path = write(tmp_path / 'a.py', "_base_ = './nowhere.py'\n")
    (problem,) = base_problems(path)
    assert problem.expected == ['b.py']
    assert (problem.fix, problem.unknown) == ((), '_base_')


def test_a_file_that_inherits_from_itself_is_told(tmp_path):
    path = write(tmp_path / 'a.py', "_base_ = ['./a.py']\n")
    found = './a.py, which inherits from this file itself'
    (problem,) = base_problems(path)
    right = 'a file that does not inherit from this one'
    assert reported(problem) == base(found, right, '_base_=[]')


def test_a_module_of_the_pure_python_style_gets_the_nearest(tmp_path):
    write(tmp_path / 'schedule.py', 'x = 1\n')
    text = (
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from .schedul import *\n'
    )
    (problem,) = base_problems(write(tmp_path / 'a.py', text))
    assert problem.key == 'read_base(), line 3'
    assert (problem.found, problem.expected) == ('.schedul', ['.schedule'])
    assert problem.fix == assign("read_base['.schedul']", '.schedule')


def test_a_module_that_is_far_is_named_and_not_offered(tmp_path):
    write(tmp_path / 'schedule.py', 'x = 1\n')
    text = (
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from .nowhere import *\n'
    )
    (problem,) = base_problems(write(tmp_path / 'a.py', text))
    assert (problem.expected, problem.fix) == (['.schedule'], ())
    assert problem.unknown == problem.key == 'read_base(), line 3'


def test_a_template_in_a_path_is_read_as_mmengine_reads_it(tmp_path):
    write(tmp_path / 'b.py', 'x = 1\n')
    text = "_base_ = ['{{ fileDirname }}/b.py']\nlr = {{$LR:0.1}}\ny = {{_base_.x}}\n"
    assert list(base_problems(write(tmp_path / 'a.py', text))) == []


def test_a_key_in_two_bases_leaves_the_first(tmp_path):
    default = 'mmdet::_base_/default_runtime.py'
    path = write(tmp_path / 'a.py', f'_base_ = [{RIGHT!r}, {default!r}]\n')
    (problem,) = check(str(path))
    assert problem.kind == 'base' and 'default_hooks' in problem.found
    assert problem.in_short == f'_base_=[{RIGHT!r}]'
    fix_it(path, problem)


def test_a_dict_over_a_list_is_told_by_its_whole_key_and_can_replace_it(tmp_path):
    base_ = 'mmdet::dyhead/atss_r50_fpn_dyhead_1x_coco.py'
    text = f"""\
_base_ = {base_!r}
model = dict(
    neck=dict(
        type='FPN', in_channels=[256, 512, 1024, 2048], out_channels=256,
        start_level=1, add_extra_convs='on_output', num_outs=5))  # no DyHead
"""
    path = write(tmp_path / 'a.py', text)
    expected = '_delete_=True in it, or a value like that of the base'
    found = 'a dict, over a list of the base'
    problem = base(found, expected, 'model.neck._delete_=True', 'model.neck')
    assert fix_it(path, problem).model.neck.type == 'FPN'
    (told_,) = check(str(path))
    assert (told_.file, told_.line, told_.safe) == (str(path), 3, False)


def test_delete_with_nothing_to_delete_is_told(tmp_path):
    text = f'_base_ = {RIGHT!r}\ncustom_hooks = [dict(type="EMAHook", _delete_=True)]\n'
    path = write(tmp_path / 'a.py', text)
    (problem,) = check(str(path))
    key = 'custom_hooks[0]._delete_'
    assert (problem.key, problem.kind, problem.in_short) == (key, 'base', f'del {key}')
    fix_it(path, problem)


@pytest.mark.parametrize('value', ['3', '[None]', 'dict(a=1)'])
def test_what_is_no_name_is_no_config(tmp_path, value):
    path = write(tmp_path / 'a.py', f'x = 1\n_base_ = {value}\n')
    with pytest.raises(NotAConfig, match='a.py, line 2: '):
        check(str(path))
