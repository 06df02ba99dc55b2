"""The interpreter that starts at once is one, as far as a command can tell."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = 'import os, sys\nprint(sys.argv, sys.path[:2], os.getcwd(), os.environ["A"])\n'


def run(*command, **kwargs):
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, **kwargs
    )


@pytest.mark.parametrize('how', ['-c', '-m', 'script'])
def test_a_command_has_its_arguments_folder_and_environment(how, tmp_path, warm_python):
    (tmp_path / 'job.py').write_text(SCRIPT)
    what = {'-c': ['-c', SCRIPT], '-m': ['-m', 'job'], 'script': ['job.py']}[how]
    kwargs = dict(
        cwd=tmp_path, env={**os.environ, 'A': 'b', 'PYTHONPATH': str(tmp_path / 'more')}
    )
    args = ['-W', 'ignore', *what, 'one', '--two']
    warm, real = (
        run(python, *args, **kwargs) for python in (warm_python, sys.executable)
    )
    assert (warm.stdout, warm.stderr, warm.returncode) == (real.stdout, '', 0)
    assert "'one', '--two'" in warm.stdout and 'more' in warm.stdout


def test_nothing_of_ours_or_of_openmmlab_s_libraries_is_imported_yet(warm_python):
    code = (
        'import sys\n'
        "print('torch' in sys.modules, 'mmengine' in sys.modules)\n"
        "names = ('plugin', 'mmdet', 'mmseg', 'mmyolo', 'mmpretrain', 'mmcv._ext')\n"
        'print([name for name in names if name in sys.modules])\n'
    )
    assert run(warm_python, '-c', code).stdout == 'True True\n[]\n'


@pytest.mark.parametrize(
    ('code', 'status', 'error'),
    [
        ('import sys; sys.exit(3)', 3, ''),
        ("import sys; sys.exit('why')", 1, 'why\n'),
        ("raise ValueError('why')", 1, 'ValueError: why\n'),
        ('import os; os.kill(os.getpid(), 11)', -11, ''),
    ],
)
def test_a_command_ends_with_its_own_status(code, status, error, warm_python):
    done = run(warm_python, '-c', code)
    assert done.returncode == status
    assert done.stderr.endswith(error) and bool(done.stderr) == bool(error)


def test_what_runs_at_the_exit_runs(warm_python):
    code = "import atexit; atexit.register(print, 'last'); print('first', end=' ')"
    assert run(warm_python, '-c', code).stdout == 'first last\n'


def test_a_command_that_is_killed_leaves_no_process(tmp_path, warm_python):
    code = (
        'import os, sys, time\n'
        "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        'print(flush=True)\n'
        'time.sleep(600)\n'
    )
    command = [warm_python, '-c', code, str(tmp_path / 'pid')]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    pid = int((tmp_path / 'pid').read_text())
    end = time.monotonic() + 60
    while Path(f'/proc/{pid}').exists() and time.monotonic() < end:
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_other_options_are_for_the_real_interpreter(warm_python):
    assert run(warm_python, '-VV').stdout.strip().endswith(sys.version.split('[')[-1])
