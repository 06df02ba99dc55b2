"""CITATION.cff and the issue templates agree with the project."""

import re

import pytest
import yaml
from click.testing import CliRunner
from pages import ROOT

import plugin
from plugin.cli import main

TEMPLATES = sorted((ROOT / '.github/ISSUE_TEMPLATE').glob('*.yml'))


def test_the_citation_is_of_this_version_and_license():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == plugin.__version__
    assert citation['title'] in (ROOT / 'pyproject.toml').read_text()
    assert f"license = '{citation['license']}'" in (ROOT / 'pyproject.toml').read_text()
    assert citation['cff-version'] == '1.2.0' and citation['authors']


def forms():
    return {
        path.stem: yaml.safe_load(path.read_text())
        for path in TEMPLATES
        if path.stem != 'config'
    }


@pytest.mark.parametrize('form', forms().values(), ids=forms())
def test_each_form_has_what_a_form_needs(form):
    assert {'name', 'description', 'body'} <= set(form)
    ids = [field['id'] for field in form['body']]
    assert len(set(ids)) == len(ids) and all(
        f['attributes']['label'] for f in form['body']
    )


def test_they_ask_for_what_can_be_read_by_a_machine():
    text = ''.join(path.read_text() for path in TEMPLATES)
    commands = set(re.findall(r'`python -m plugin (\w+) --json', text))
    assert commands == {'doctor', 'check'}
    for command in commands:
        usage = CliRunner().invoke(main, [command, '--help']).output
        assert '--json' in usage
