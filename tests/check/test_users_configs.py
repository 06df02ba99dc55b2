"""Configs that users broke, fixed by ``check --fix`` alone, then trained."""

import math
import re
from importlib import import_module

import pytest
from click.testing import CliRunner
from mmengine.config import Config
from mmengine.runner import Runner
from ready_configs import LIBRARIES, put_on_shapes
from two_iterations import Watch
from users_configs import CONFIGS, DEMO

from plugin.cli import main

pytestmark = pytest.mark.slow


def test_there_are_twenty_of_them():
    assert len(CONFIGS) >= 20


def run(*args):
    return CliRunner().invoke(main, ['check', *map(str, args)])


@pytest.mark.parametrize('name', CONFIGS)
def test_is_fixed_and_trains(name, tmp_path, repo_root, shapes):
    task, text = CONFIGS[name]
    path = tmp_path / 'config.py'
    text = text.replace('{root}', str(repo_root))
    path.write_bytes(text.encode())
    if 'pure_base' in text:
        demo = Config.fromfile(DEMO.strip("'").replace('{root}', str(repo_root)))
        entries = demo.to_dict().items()
        lines = ''.join(f'{key} = {value!r}\n' for key, value in entries)
        (tmp_path / 'pure_base.py').write_text(lines)
    before = run(path)
    assert before.stdout.partition('\n')[2].strip() != 'no problems'

    result = run('--fix', path)
    assert (result.exit_code, result.stdout) == (0, f'{path}\nno problems\n'), (
        result.output
    )
    fixed = path.read_bytes().decode()
    assert re.findall(r'#.*', fixed) == re.findall(r'#.*', text)
    assert fixed.count('\r') == (fixed.count('\n') if '\r' in text else 0)

    import_module(f'{LIBRARIES[task]}.models')
    cfg = Config.fromfile(str(path))
    if cfg.get('_imported_names'):
        cfg = Config(cfg.to_dict())
    runner = Runner.from_cfg(put_on_shapes(cfg, task, shapes, tmp_path / 'work', True))
    watch = Watch()
    runner.register_hook(watch)
    runner.train()
    assert len(watch.losses) == 2 and all(map(math.isfinite, watch.losses))
