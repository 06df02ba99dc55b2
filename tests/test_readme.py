"""The README and the pages beside it show what happens."""

import re
import subprocess
import sys

import pytest
from pages import FENCE, LINK, PAGES, README, ROOT, anchors, blocks, files, name, prose

try:
    import tomllib
except ImportError:  # Python 3.10
    tomllib = None


@pytest.fixture(scope='module')
def readme():
    return README.read_text()


@pytest.mark.slow
def test_the_python_example_prints_what_it_says(tmp_path, warm_python):
    migration = (ROOT / 'docs/migration.md').read_text()
    section = re.search(r'\n## In Python\n(.*?)\n## ', migration, re.S)[1]
    (_, code), (_, output) = blocks(section)
    (tmp_path / 'example.py').write_text(code)
    done = subprocess.run(
        [warm_python, '-W', 'ignore', 'example.py'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown = output.splitlines()
    types = tuple(line.split()[0] + ' [' for line in shown)
    assert [x for x in done.stdout.splitlines() if x.startswith(types)] == shown


@pytest.mark.slow
def test_its_first_config_is_right(readme, tmp_path, monkeypatch):
    from plugin.check import examine

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'my.py').write_text(files(readme)['retinanet_regnety.py'])
    found = examine('my.py')
    assert (found.problems, found.failures) == ([], [])


def test_help_is_as_shown():
    commands = (ROOT / 'docs/commands.md').read_text()
    shown = re.search(r'\$ python -m plugin --help\n(.*?)```', commands, re.S)[1]
    done = subprocess.run(
        [sys.executable, '-m', 'plugin', '--help'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout == shown


def test_it_is_short_and_has_the_two_commands_that_set_up(readme):
    assert len(readme.splitlines()) <= 220
    bash = ''.join(body for language, body in blocks(readme) if language == 'bash')
    assert re.findall(r'^make (\w+) ', bash, re.M) == ['demo', 'test']


def test_its_own_backbone_is_that_of_the_page_on_it(readme):
    page = files((ROOT / 'docs/own_backbone.md').read_text())
    for file in ('my_backbone.py', 'retinanet_mynet.py'):
        assert files(readme)[file] == page[file]


@pytest.mark.skipif(tomllib is None, reason='needs tomllib, of Python 3.11')
def test_its_badges_are_true(readme):
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    badges = dict(re.findall(r'^!\[(\w+): (\S+)\]\(https://img\.shields', readme, re.M))
    assert badges.pop('license') == project['license']
    assert badges.pop('python') == project['requires-python']
    requirements = project['dependencies']
    assert badges and {f'{n}{version}' for n, version in badges.items()} <= {
        *requirements
    }


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    missing = []
    for link in LINK.findall(prose(page.read_text())):
        if '://' in link or link.startswith('mailto:'):
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (
            anchor and anchor not in anchors(target.read_text())
        ):
            missing.append(link)
    assert missing == []


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_nothing_is_left_to_be_filled_in(page):
    # A diff has @@ too, with a blank behind it.
    assert not re.search(r'@@\w|TODO|FIXME', FENCE.sub('', page.read_text()))


def test_the_tables_are_those_of_the_metafiles(warm_python):
    done = subprocess.run(
        [warm_python, 'tools/tables.py', '--check'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ''), done.stdout + done.stderr


def test_the_tables_have_every_ready_config_once():
    every = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob('configs/*/*.py'))
    page = (ROOT / 'docs/configs.md').read_text()
    assert sorted(re.findall(r'\]\(\.\./(configs/\w+/[^)]+\.py)\)', page)) == every
    short = re.findall(r'\]\((configs/\w+/[^)]+\.py)\)', README.read_text())
    assert sorted(short) == [config for config in every if '_shapes' not in config]


def test_every_entry_of_the_catalogue_is_in_the_table():
    from plugin.backbones import CATALOGUE

    page = (ROOT / 'docs/configs.md').read_text()
    rows = re.findall(r'^\| \[`plugin\.(\w+)`\].*arXiv:([\d.]+)\]', page, re.M)
    assert rows == [(e.name, e.paper.removeprefix('arXiv:')) for e in CATALOGUE]
