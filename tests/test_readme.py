"""What the README shows is what happens."""

import re
import subprocess
import sys

import pytest


@pytest.fixture
def readme(repo_root):
    return (repo_root / 'README.md').read_text()


@pytest.mark.slow
def test_the_python_example_prints_what_it_says(readme, tmp_path):
    section = re.search(r'\n## In Python\n(.*?)\n## ', readme, re.S)[1]
    code, output = re.findall(r'```\w*\n(.*?)```', section, re.S)
    (tmp_path / 'example.py').write_text(code)
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', 'example.py'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown = output.splitlines()
    types = tuple(line.split()[0] + ' [' for line in shown)
    assert [x for x in done.stdout.splitlines() if x.startswith(types)] == shown


def test_help_is_as_shown(readme, repo_root):
    shown = re.search(r'\$ python -m plugin --help\n(.*?)```', readme, re.S)[1]
    done = subprocess.run(
        [sys.executable, '-m', 'plugin', '--help'],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    assert done.stdout == shown


def test_every_file_that_it_names_is_there(readme, repo_root):
    links = re.findall(r'\]\(([^)]+)\)', readme)
    assert links
    missing = [x for x in links if '://' not in x and not (repo_root / x).exists()]
    assert missing == []


def test_nothing_is_left_to_be_filled_in(readme, repo_root):
    documents = [readme, *(p.read_text() for p in repo_root.glob('docs/*.md'))]
    # A diff has @@ too, with a blank behind it.
    assert not any(re.search(r'@@\w', text) for text in documents)
