"""Each library can be the first that an interpreter imports, ours before it or not.

The libraries import each other: mmyolo imports mmdet, and mmdet imports mmpretrain
where that is installed. What works in one order may not in another.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARIES = ['mmdet.models', 'mmseg.models', 'mmyolo.utils']
OURS = ['plugin.det', 'plugin.seg', 'plugin.yolo']


def run_python(python: str, code: str, *folders: Path | str) -> str:
    process = subprocess.run(
        [python, '-W', 'ignore', '-c', code],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
@pytest.mark.parametrize('plugin_first', [True, False], ids=['plugin first', 'without'])
@pytest.mark.parametrize('first', LIBRARIES)
def test_a_library_can_be_imported_first(
    first, plugin_first, repo_root, warm_python, lighter
):
    for name in LIBRARIES:
        if not importlib.util.find_spec(name.partition('.')[0]):
            pytest.skip(f'needs {name.partition(".")[0]}')
    rest = [name for name in LIBRARIES if name != first]
    order = [*(['plugin'] if plugin_first else []), first, *rest, *OURS, 'mmcv.ops']
    code = '\n'.join(f'import {name}' for name in order)
    for name in LIBRARIES:
        registry = f'{name.partition(".")[0]}.registry'
        code += f'\nimport {registry}\nprint({registry}.MODELS.module_dict["ConvNeXt"])'
    ours = "<class 'plugin.backbones.convnext.ConvNeXt'>"
    # Where ours is first, it is also before all that they require.
    python = sys.executable if plugin_first else warm_python
    # Once with transformers, which the warm one has imported already.
    more = [] if first == LIBRARIES[0] else [lighter]
    assert run_python(python, code, repo_root, *more).splitlines() == [ours] * 3
