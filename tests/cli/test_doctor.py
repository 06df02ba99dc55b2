"""``doctor`` as it is printed, and on the environment of these tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import plugin.cli.doctor
from plugin import doctor
from plugin.cli import main
from plugin.doctor import Diagnosis, Finding, diagnose
from plugin.doctor.mmcv import Operators
from plugin.doctor.probes import Probe

LONG = "pip uninstall -y mmcv && pip install 'mmcv-lite>=2.0.1,<2.1' ./mmcv-lite-ops"
FINDINGS = (
    Finding('Python', 'ok', '3.11.7', '>=3.10'),
    Finding('timm', 'warning', 'not installed', '>=1.0', "pip install 'timm>=1.0'"),
    Finding('mmdet wants mmcv', 'error', '2.2.0', '>=2.0.0rc4,<2.2.0', LONG),
    Finding('mmyolo wants mmcv', 'error', '2.2.0', '>=2.0.0rc4,<2.1.0', LONG),
)


@pytest.fixture
def found(monkeypatch):
    def find(*findings):
        versions = {'python': '3.11.7', 'torch': '2.9.0', 'transformers': None}
        diagnosis = Diagnosis(findings, versions, Operators(('nms',), ('knn',)))
        monkeypatch.setattr(plugin.cli.doctor, 'diagnose', lambda: diagnosis)
        return CliRunner().invoke(main, ['doctor'])

    return find


def test_the_worst_comes_first_and_each_command_once(found):
    result = found(*FINDINGS)
    assert result.stdout.splitlines() == [
        'python 3.11.7, torch 2.9.0',
        '',
        'error    mmdet wants mmcv   2.2.0',
        '                            wanted: >=2.0.0rc4,<2.2.0',
        'error    mmyolo wants mmcv  2.2.0',
        '                            wanted: >=2.0.0rc4,<2.1.0',
        'warning  timm               not installed',
        '                            wanted: >=1.0',
        'ok       Python             3.11.7 (>=3.10)',
        '',
        '1 ok, 1 warning, 2 errors',
        '',
        'To fix it:',
        f'  $ {LONG}',
        "  $ pip install 'timm>=1.0'",
    ]
    assert result.exit_code == 1


def test_a_long_reason_is_wrapped_and_a_command_is_not(found):
    reason = 'ImportError: ' + 'undefined symbol ' * 30
    result = found(Finding('mmcv', 'error', reason, 'one that loads', LONG * 2))
    lines = result.stdout.splitlines()
    assert lines[-1] == f'  $ {LONG * 2}'
    assert max(map(len, lines[:-1])) <= 80
    assert '\x1b' not in result.stdout


def test_warnings_alone_are_status_0(found):
    assert found(*FINDINGS[:2]).exit_code == 0
    assert found(*FINDINGS[:3]).exit_code == 1


def test_json_is_one_document_with_everything(found):
    found(*FINDINGS)
    result = CliRunner().invoke(main, ['doctor', '--json'])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == dict(
        findings=[
            {k: getattr(f, k) for k in ('name', 'status', 'found', 'expected', 'fix')}
            for f in FINDINGS
        ],
        versions={'python': '3.11.7', 'torch': '2.9.0', 'transformers': None},
        operators=dict(covered=['nms'], missing=['knn']),
    )


def test_a_rule_that_fails_is_a_warning_and_the_others_are_asked(monkeypatch):
    def broken(environment):
        raise RuntimeError('odd metadata')

    def fine(environment):
        yield FINDINGS[0]

    monkeypatch.setattr(doctor, 'RULES', (broken, fine))
    monkeypatch.setattr(doctor, 'SCOPES', ())
    monkeypatch.setattr(doctor, 'imports', lambda environment, earlier: ())
    # A compiled mmcv is asked whether it can be imported.
    imported = {'mmcv._ext': Probe(None)}
    monkeypatch.setattr(doctor, 'try_imports', lambda modules: imported)
    first, second = diagnose().findings
    assert (first.name, first.status) == ('broken', 'warning')
    assert first.found == 'could not be looked at: RuntimeError: odd metadata'
    assert second == FINDINGS[0]


@pytest.mark.slow
def test_nothing_is_wrong_with_the_environment_of_these_tests(repo_root, tmp_path):
    bin_dir = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, '-m', 'plugin', 'doctor', '--json'],
        cwd=tmp_path,
        env={
            **os.environ,
            'PATH': f'{bin_dir}{os.pathsep}{os.environ["PATH"]}',
            'PYTHONPATH': str(repo_root),
        },
        capture_output=True,
        text=True,
    )
    document = json.loads(done.stdout)
    wrong = [f for f in document['findings'] if f['status'] != 'ok']
    assert (done.returncode, wrong, done.stderr) == (0, [], '')
    names = {finding['name'] for finding in document['findings']}
    assert {'import mmyolo.models', 'mmyolo wants mmcv', 'operators'} <= names
