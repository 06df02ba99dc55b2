"""The site has every file that a page links, and its links lead there."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module

import pytest
from scripts import load_script

CONFIG = 'configs/det/retinanet_convnext-tiny_fpn_8xb2-12e_coco.py'


@pytest.fixture(scope='module')
def site(repo_root):
    return load_script(repo_root / 'tools/site_pages.py')


@pytest.mark.parametrize(
    ('page', 'text', 'in_the_site'),
    [
        ('README.md', '[a](docs/timm.md)', '[a](timm.md)'),
        ('README.md', f'[a]({CONFIG})', f'[a](repository/{CONFIG}.md)'),
        ('docs/timm.md', f'[a](../{CONFIG})', f'[a](repository/{CONFIG}.md)'),
        ('docs/timm.md', '[a](../README.md#limits)', '[a](index.md#limits)'),
        ('docs/zh-CN/freezing.md', '[a](../freezing.md)', '[a](../freezing.md)'),
        ('README.zh-CN.md', '[a](README.md)', '[a](../index.md)'),
        ('README.zh-CN.md', '[a](docs/zh-CN/freezing.md)', '[a](freezing.md)'),
        ('docs/timm.md', '![a](demo.png)', '![a](demo.png)'),
        ('docs/timm.md', '[a](https://arxiv.org/x.md)', '[a](https://arxiv.org/x.md)'),
        ('docs/timm.md', '[a](#limits)', '[a](#limits)'),
        # The strict build reports it.
        ('docs/timm.md', '[a](gone.md)', '[a](gone.md)'),
        ('README.md', '```\n[a](docs/timm.md)\n```', '```\n[a](docs/timm.md)\n```'),
    ],
)
def test_links_lead_to_where_the_target_is_in_the_site(site, page, text, in_the_site):
    assert site.rewritten(page, f'See\n{text}\n') == f'See\n{in_the_site}\n'


def test_files_that_are_linked_are_pages(site):
    pages = site.outside()
    assert {'README.md', 'CONTRIBUTING.md', CONFIG, 'mmcv-lite-ops/README.md'} <= {
        *pages
    }
    assert len({site.place(page) for page in pages}) == len(pages)
    assert site.as_page(CONFIG).startswith(f'# {CONFIG}\n\n```python\n_base_ = ')


def test_every_page_of_the_navigation_is_there(site, repo_root):
    made = {site.place(path) for path in site.outside()} | {'api.md'}
    for folder, pattern in (('docs', '**/*.md'), ('docs/notebooks', '*.ipynb')):
        for path in (repo_root / folder).glob(pattern):
            made.add(site.place(path.relative_to(repo_root).as_posix()))
    nav = (repo_root / 'mkdocs.yml').read_text().partition('\nnav:\n')[2]
    entries = re.findall(r': (\S+\.md)$', nav, re.M)
    assert len(entries) > 20 and set(entries) <= made


def test_what_the_reference_names_is_there(site):
    for objects in site.API.values():
        for name in objects:
            try:
                import_module(name)
            except ModuleNotFoundError:
                module, _, member = name.rpartition('.')
                assert hasattr(import_module(module), member), name


def test_a_notebook_is_a_page_with_what_its_cells_print(site, tmp_path):
    cells = [
        dict(cell_type='markdown', source=['# Title\n', 'text']),
        dict(
            cell_type='code',
            source=['print(1)'],
            outputs=[dict(output_type='stream', text=['1\n'])],
        ),
        dict(cell_type='code', source=['x = 2'], outputs=[]),
    ]
    (tmp_path / 'a.ipynb').write_text(json.dumps(dict(cells=cells)))
    assert site.notebook_page(tmp_path / 'a.ipynb') == (
        '# Title\ntext\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n'
        '```python\nx = 2\n```\n\n[Download this notebook](a.ipynb)\n'
    )


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link(repo_root, tmp_path):
    pytest.importorskip('mkdocs', reason='mkdocs is missing; `make docs` builds it')
    pytest.importorskip('mkdocstrings')
    done = subprocess.run(
        [*(sys.executable, '-m', 'mkdocs', 'build', '--strict'), '-d', tmp_path],
        cwd=repo_root,
        env=os.environ | {'NO_MKDOCS_2_WARNING': '1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / 'api/index.html').read_text()
    assert 'id="plugin.testing.check_backbone"' in page
    assert (tmp_path / f'repository/{CONFIG}/index.html').is_file()
