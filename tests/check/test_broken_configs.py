"""Configs that are wrong in one way: found, named, and mended by the printed fix."""

import json
import sys

import pytest
from apply_fix import apply_fix
from broken_configs import BROKEN
from click.testing import CliRunner

from plugin.check import check
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
    assert {broken.kind for broken in BROKEN} == set(KINDS)


@pytest.mark.parametrize('broken', BROKEN, ids=lambda b: f'{b.kind}: {b.name}')
def test_is_found_and_the_fix_mends_it(broken, tmp_path, repo_root):
    path = broken.write(tmp_path, repo_root)
    status, problems = run_check(path)
    assert [p['kind'] for p in problems] == [broken.kind], problems
    (problem,) = problems
    assert problem['key'] == broken.key
    assert problem['severity'] == broken.severity
    assert status == (1 if broken.severity == 'error' else 0)

    (found,) = check(str(path))
    mended = apply_fix(path, found)
    assert run_check(mended) == (0, []), problem['fix']
