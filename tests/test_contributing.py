"""Adding something takes no more than CONTRIBUTING.md says.

In a copy of ``plugin/``. A library is added in ``test_toy_library``.
"""

import json

import pytest
import torch
from plugin_copy import ROOT, copy_plugin, insert, run_commands, write_all

# Importing torch and the libraries takes most of it.
pytestmark = pytest.mark.slow

BACKBONE = """
\"\"\"A small net.\"\"\"

from torch import nn

from plugin.registry import MODELS


@MODELS.register_module()
class SmallNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 4, 1)
        self.stage = nn.Conv2d(width, 2 * width, 3, 2, 1)

    def forward(self, x):
        x = self.stem(x)
        return x, self.stage(x)
"""

RULE = """
\"\"\"A seed, without which two trainings differ.\"\"\"

from plugin.check.rule import Rule
from plugin.config.problem import WARNING, Problem, assign


def seed(checked):
    \"\"\"Tell a config that has none.\"\"\"
    if 'randomness' not in checked.cfg:
        fix = assign('randomness', dict(seed=0))
        yield Problem(
            'randomness', 'argument', WARNING, 'nothing', 'a seed', fix, safe=True
        )


RULE = Rule(
    name='seed',
    finds='A training without a seed.',
    why='Two trainings differ.',
    example='randomness = dict()',
    fix='Name one.',
    look=seed,
)
"""

CONVENTION = """
\"\"\"Names of a toy.\"\"\"

from plugin.weights.conventions.convention import Convention, rules

TOY = (
    Convention("the toy's", (r'toy_stem\\.',), rules((r'^toy_stem\\.', 'stem.'))),
)
"""

COMMAND = """
\"\"\"``hello``: says it.\"\"\"

import click


@click.command()
def hello():
    \"\"\"Say hello.\"\"\"
    click.echo('hello')
"""

CONFIG = """
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
"""

COMMANDS = {
    'probe': ['probe', 'plugin.SmallNet', '--json'],
    'list': ['probe', '--list', 'plugin'],
    'check': ['check', 'my.py', '--json'],
    'keys': ['keys', 'toy.pth', '--json'],
    'hello': ['hello'],
    'help': ['--help'],
}


@pytest.fixture(scope='module')
def answers(tmp_path_factory, warm_python):
    """Return what the commands print after the steps of CONTRIBUTING.md."""
    folder = copy_plugin(tmp_path_factory.mktemp('copy'))
    plugin = folder / 'plugin'

    write_all(plugin / 'backbones', {'small_net.py': BACKBONE})
    entry = "    Entry('SmallNet', 'small_net', 'arXiv:0000.00000'),\n"
    insert(plugin / 'backbones/__init__.py', '\nCATALOGUE = (\n', entry)

    write_all(plugin / 'check/rules', {'seed.py': RULE})
    rules = plugin / 'check/__init__.py'
    insert(rules, '    refusals,\n', '    seed,\n')
    insert(rules, '\nRULES: tuple[Rule, ...] = (\n', '    seed.RULE,\n')

    conventions = plugin / 'weights/conventions'
    write_all(conventions, {'toy.py': CONVENTION})
    line = 'from plugin.weights.conventions.swin import SWIN\n'
    insert(
        conventions / '__init__.py',
        line,
        '    from plugin.weights.conventions.toy import TOY\n',
    )
    insert(conventions / '__init__.py', '\n    conventions = (\n', '        *TOY,\n')

    write_all(plugin / 'cli', {'hello.py': COMMAND})
    insert(plugin / 'cli/__init__.py', '\nCOMMANDS = {\n', "    'hello': 'Say it.',\n")

    write_all(folder, {'my.py': CONFIG})
    weights = {'toy_stem.weight': torch.zeros(2, 3), 'head.bias': torch.zeros(2)}
    torch.save(dict(state_dict=weights), folder / 'toy.pth')
    return run_commands(warm_python, folder, COMMANDS)


def test_a_backbone_is_one_file_and_one_line(answers):
    found = json.loads(answers['probe']['out'])
    assert (found['channels'], found['strides']) == ([8, 16], [4, 8])
    assert 'plugin.SmallNet' in answers['list']['out']


def test_a_rule_is_one_file_and_one_line(answers):
    assert answers['check']['code'] == 0, answers['check']['err']
    (problem,) = json.loads(answers['check']['out'])[0]['problems']
    assert (problem['key'], problem['expected']) == ('randomness', 'a seed')


def test_a_naming_convention_is_one_file_and_one_line(answers):
    assert json.loads(answers['keys']['out'])['names'] == "the toy's"


def test_a_command_is_one_file_and_one_line(answers):
    assert answers['hello'] == dict(code=0, out='hello\n', err='')
    assert 'hello' in answers['help']['out']


@pytest.mark.parametrize(
    'place',
    [
        'plugin/backbones/',
        'CATALOGUE',
        'plugin/check/rules/',
        'RULES',
        'plugin/weights/conventions/',
        '_known',
        'plugin/cli/',
        'COMMANDS',
        'plugin/libraries.py',
        'wiring.py',
    ],
)
def test_the_steps_that_were_taken_are_those_it_names(place):
    assert place in (ROOT / 'CONTRIBUTING.md').read_text()
