"""Answers of ``mmcv._ext`` to all that mmcv asks of it beside its operators."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import mmcv.ops
import mmcv.utils
import pytest
import torch
from mmcv import _ext


def test_an_uncovered_operator_says_its_name_and_what_has_it():
    boxes = torch.tensor([[5.0, 5, 4, 4, 0]])
    with pytest.raises(NotImplementedError, match='nms_rotated.*full mmcv') as error:
        mmcv.ops.nms_rotated(boxes, torch.ones(1), 0.5)
    assert "mim install 'mmcv>=2.0.1,<2.1'" in str(error.value)


def test_every_module_of_mmcv_ops_finds_its_operators():
    # Each asserts at its import that its operators exist.
    names = [module.name for module in pkgutil.iter_modules(mmcv.ops.__path__)]
    assert len(names) > 50
    for name in names:
        importlib.import_module(f'mmcv.ops.{name}')


@pytest.mark.parametrize('name', ['__path__', '__wrapped__', '_repr_html_'])
def test_private_names_are_missing_as_in_any_module(name):
    assert not hasattr(_ext, name)


def test_the_environment_report_has_strings_for_compiler_and_cuda():
    report = mmcv.utils.collect_env()
    assert 'mmcv-lite-ops' in report['MMCV Compiler']
    assert report['MMCV CUDA Compiler'] == (torch.version.cuda or 'not available')


def arguments_in_mmcv() -> dict[str, list[str]]:
    """Argument names of each operator, from the C++ source that mmcv installs."""
    source = Path(mmcv.ops.__file__).parent / 'csrc' / 'pytorch' / 'pybind.cpp'
    definitions = re.findall(r'm\.def\(\s*"(\w+)",(.*?)\);', source.read_text(), re.S)
    return {name: re.findall(r'py::arg\("(\w+)"\)', rest) for name, rest in definitions}


@pytest.mark.parametrize('name', getattr(_ext, '__all__', []))
def test_an_operator_takes_mmcvs_arguments_in_mmcvs_order(name):
    assert (
        list(inspect.signature(getattr(_ext, name)).parameters)
        == (arguments_in_mmcv()[name])
    )
