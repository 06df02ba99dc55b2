import pytest

from plugin.doctor.probes import Probe, try_imports

pytestmark = pytest.mark.slow


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Writes modules that a process started from here imports."""
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))

    def write(**sources):
        for name, source in sources.items():
            (tmp_path / f'{name}.py').write_text(source)
        return tmp_path

    return write


def test_a_module_tells_where_it_is(modules):
    folder = modules(fine='print("noise")')
    assert try_imports(['fine']) == {
        'fine': Probe(None, dict(file=str(folder / 'fine.py')))
    }


def test_one_process_as_long_as_all_goes_well(modules):
    report = 'import os\nraise ValueError(f"{os.getpid()} is the process")'
    same = 'import first\nassert first.loaded'
    modules(first='loaded = True', second=same, third=report, fourth=report)
    found = try_imports(['first', 'second', 'third', 'fourth'])
    assert found['second'].reason is None
    # The process of the third is not gone on with.
    third, fourth = (found[name].reason.split()[1] for name in ('third', 'fourth'))
    assert third != fourth


def test_the_reason_is_one_line_with_the_file_that_raised(modules):
    modules(deep='raise TypeError("two\\n  lines")', outer='import deep')
    reason = try_imports(['outer'])['outer'].reason
    assert reason.startswith('TypeError: two lines (')
    assert reason.endswith('deep.py)')


def test_a_module_that_ends_the_process_is_reported_with_the_way(modules):
    modules(leaves='import os; os._exit(3)', dies='import os; os.kill(os.getpid(), 11)')
    found = try_imports(['leaves', 'dies', 'json'])
    assert found['leaves'].reason.startswith('the interpreter ends with status 3')
    assert found['dies'].reason == 'the interpreter dies of SIGSEGV'
    assert found['json'].reason is None


def test_sys_exit_is_a_failure_too(modules):
    modules(exits='import sys; sys.exit("no licence")')
    assert try_imports(['exits'])['exits'].reason.startswith('SystemExit: no licence')


def test_an_import_that_hangs_is_left_and_the_others_are_tried(modules):
    modules(hangs='import time; time.sleep(60)')
    found = try_imports(['json', 'hangs', 'csv'], timeout=2)
    assert found['hangs'].reason == 'it takes longer than 2 s'
    assert found['json'].reason is None and found['csv'].reason is None


def test_the_working_directory_is_not_on_the_path(tmp_path, monkeypatch):
    (tmp_path / 'beside.py').write_text('')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('PYTHONPATH', raising=False)
    reason = try_imports(['beside'])['beside'].reason
    assert reason.startswith("ModuleNotFoundError: No module named 'beside'")
