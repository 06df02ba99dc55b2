"""Configs that are wrong in one way: found, named, and fixed by the printed fix."""

import json
import sys

import pytest
from broken_configs import BROKEN
from click.testing import CliRunner
from printed import examined, used

from plugin.cli import main
from plugin.config.problem import KINDS

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def folder_on_the_path(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop('own_net', None)


def run_check(path):
    result = CliRunner().invoke(main, ['check', str(path), '--json'])
    (document,) = json.loads(result.stdout)
    return result.exit_code, document['problems']


def test_there_are_enough_of_them_and_of_every_kind():
    assert len(BROKEN) >= 40
    # The rest are found by running, and have tests of their own.
    by_running = {'training', 'forward', 'ignore'}
    assert {broken.kind for broken in BROKEN} == set(KINDS) - by_running


@pytest.mark.parametrize('broken', BROKEN, ids=lambda b: f'{b.kind}: {b.name}')
def test_is_found_and_the_fix_works(broken, tmp_path, repo_root):
    path = broken.write(tmp_path, repo_root)
    found = examined(path)
    assert [p.kind for p in found.problems] == [broken.kind], found.problems
    (problem,) = found.problems
    assert (problem.key, problem.severity) == (broken.key, broken.severity)
    assert run_check(used(path, found)) == (0, [])
