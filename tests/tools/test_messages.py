"""docs/messages.md has what users read, as the tests provoke it."""

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from pages import ROOT, blocks
from scripts import load_script

from plugin.cli import main

PAGE = ROOT / 'docs/messages.md'


@pytest.fixture(scope='module')
def messages():
    return load_script(ROOT / 'tools/messages.py')


@pytest.mark.wide
def test_the_page_is_what_the_tests_provoke():
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/messages.py', '--check'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_section_is_there_and_every_broken_config(messages):
    sys.path.insert(0, str(ROOT / 'tests/check'))
    try:
        from broken_configs import BROKEN
    finally:
        sys.path.remove(str(ROOT / 'tests/check'))
    found = messages.sections(PAGE.read_text())
    assert list(found) == [messages.BROKEN, *messages.SECTIONS]
    assert len(blocks(found[messages.BROKEN])) == len(BROKEN)
    assert all(len(blocks(section)) > 5 for section in found.values())


def test_nothing_in_it_is_of_one_machine():
    text = PAGE.read_text()
    assert not re.search(r'(^|[\s\'"(=])/(tmp|root|home|work|usr|var)/', text, re.M)
    assert 'site-packages' not in text and str(ROOT) not in text


def test_expected_errors_refusals_and_warnings_are_kept(messages):
    from mmengine.logging import MMLogger

    from plugin.decay.settings import mistakes  # noqa: F401
    from plugin.weights.files.sources import read_checkpoint

    with messages.Recorder() as recorder:
        recorder._file = 'test_this.py'
        with pytest.raises(ValueError):
            raise ValueError('of the test itself')
        with pytest.raises(OSError):
            read_checkpoint('/nowhere/is_not_there.pth')
        CliRunner().invoke(main, ['probe', 'timm:no_such_model'])
        MMLogger.get_current_instance().warning('of the test itself')
    kept = list(recorder.found['test_this.py'])
    assert len(kept) == 2
    assert 'is_not_there.pth' in kept[0]
    assert kept[1].startswith('Error: ') and 'no_such_model' in kept[1]


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        (f'{ROOT}/configs/a.py is wrong', 'configs/a.py is wrong'),
        ('in /x/lib/site-packages/mmdet/a.py', 'in mmdet/a.py'),
        ('<Net object at 0x7f0123456789>', '<Net object at 0x...>'),
        ('took 3.25 s', 'took N s'),
        ('a' * 64, '<digest>'),
        ('12 tensors', '12 tensors'),
    ],
)
def test_what_differs_from_run_to_run_is_left_out(messages, text, shown):
    assert messages.shortened(text) == shown


def test_a_long_message_is_cut(messages):
    assert len(messages.shortened('word ' * 1000)) < messages.LONGEST + 10
