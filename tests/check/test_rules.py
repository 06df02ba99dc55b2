"""Every rule has a name that stays, a page, and an example that it finds."""

import pkgutil
import re
import sys

import pytest
from click.testing import CliRunner

from plugin.check import RULES, examine, rules
from plugin.cli import main

NAMES = [rule.name for rule in RULES]


def test_every_file_of_rules_is_a_rule():
    files = {
        module.name.replace('_', '-') for module in pkgutil.iter_modules(rules.__path__)
    }
    assert files == set(NAMES) and len(NAMES) == len(set(NAMES))


@pytest.mark.parametrize('rule', RULES, ids=NAMES)
def test_a_page_says_what_why_an_example_and_how_to_fix_it(rule):
    page = rule.page()
    assert page.startswith(f'## {rule.name}\n')
    parts = ('**Why it is bad.** ', '**Example.**', '```python', '**How to fix it.** ')
    assert all(part in page for part in parts)
    assert all(re.search(r'\.$', text) for text in (rule.finds, rule.why, rule.fix))


@pytest.mark.slow
@pytest.mark.parametrize('rule', RULES, ids=NAMES)
def test_its_example_is_found(rule, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in rule.beside.items():
        (tmp_path / name).write_text(text)
        monkeypatch.delitem(sys.modules, name.removesuffix('.py'), raising=False)
    path = tmp_path / 'config.py'
    path.write_text(rule.example)
    found = examine(str(path), step=rule.step)
    assert rule.name in [problem.rule for problem in found.problems]
    assert found.failures == []


def test_the_document_is_what_the_command_prints(repo_root):
    result = CliRunner().invoke(main, ['rule', '--all'])
    assert result.exit_code == 0
    assert (repo_root / 'docs/rules.md').read_text() == result.stdout


def test_the_list_has_a_line_for_each():
    result = CliRunner().invoke(main, ['rule'])
    assert [line.split()[0] for line in result.stdout.splitlines()] == NAMES


def test_a_name_prints_its_page():
    result = CliRunner().invoke(main, ['rule', 'maps'])
    assert (result.exit_code, result.stdout[:8]) == (0, '## maps\n')


def test_a_name_that_is_none_gets_the_nearest():
    result = CliRunner().invoke(main, ['rule', 'mapps'])
    assert result.exit_code == 2
    assert "'mapps' is no rule; did you mean maps?" in result.stderr
