"""A file is whole or not there, whoever else writes, and whatever ends the writing."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from plugin.weights.files.whole_file import leftovers, sibling, whole_file


def write(path, text, replace=False):
    with whole_file(path, replace) as partial:
        partial.write_text(text)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    out = tmp_path / 'new/a.pth'
    with whole_file(out, replace=False) as partial:
        assert (partial.suffix, partial.parent) == ('.pth', out.parent)
        assert partial.name.startswith('.a.pth.')
        assert not out.exists()
        partial.write_text('mine')
    assert out.read_text() == 'mine'
    assert names(out.parent) == ['a.pth']


@pytest.mark.parametrize('replace', [False, True])
@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt, SystemExit])
def test_what_ends_the_writing_leaves_nothing(tmp_path, error, replace):
    out = tmp_path / 'a.pth'
    if replace:
        out.write_text('old')
    with pytest.raises(error), whole_file(out, replace) as partial:
        partial.write_text('half')
        raise error
    assert names(tmp_path) == (['a.pth'] if replace else [])


def test_a_second_file_of_the_name_is_an_error_unless_it_may_replace(tmp_path):
    out = tmp_path / 'a.pth'
    write(out, 'first')
    with pytest.raises(FileExistsError, match='is already there; --force replaces it'):
        write(out, 'second')
    assert out.read_text() == 'first'
    write(out, 'third', replace=True)
    assert out.read_text() == 'third'


@pytest.mark.parametrize('links', [True, False], ids=['links', 'no links'])
def test_of_two_that_write_one_new_file_one_is_told(tmp_path, monkeypatch, links):
    if not links:

        def none(*args):
            raise PermissionError(1, 'not permitted')

        monkeypatch.setattr('plugin.weights.files.whole_file.os.link', none)
    out, barrier, results = tmp_path / 'a.pth', threading.Barrier(2), []

    def run(text):
        try:
            with whole_file(out, replace=False) as partial:
                partial.write_text(text)
                barrier.wait(60)
            results.append(text)
        except FileExistsError as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(t,)) for t in ('one', 'other')]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (text,) = [r for r in results if isinstance(r, str)]
    (error,) = [r for r in results if isinstance(r, FileExistsError)]
    assert out.read_text() == text
    assert error.filename == str(out)
    assert names(tmp_path) == ['a.pth']


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path):
    target, link = tmp_path / 'there/a.pth', tmp_path / 'a.pth'
    target.parent.mkdir()
    link.symlink_to(target)
    # A link that leads nowhere is something that is there.
    with pytest.raises(FileExistsError):
        write(link, 'one')
    write(link, 'one', replace=True)
    with pytest.raises(FileExistsError):
        write(link, 'two')
    write(link, 'two', replace=True)
    assert link.is_symlink() and target.read_text() == 'two'
    assert names(tmp_path) == ['a.pth', 'there'] and names(target.parent) == ['a.pth']


def test_the_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / 'plain').touch()
    with whole_file(tmp_path / 'a.pth', replace=False) as partial:
        partial.unlink()
        partial.touch(0o600)
    assert (tmp_path / 'a.pth').stat().st_mode == (tmp_path / 'plain').stat().st_mode


KILLED = """
import sys, time
from pathlib import Path
from plugin.weights.files.whole_file import whole_file
with whole_file(Path(sys.argv[1]), replace=False) as partial:
    partial.write_text('half')
    print('writing', flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name != 'posix', reason='needs signal 0')
def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path, repo_root):
    out = tmp_path / 'a.pth'
    process = subprocess.Popen(
        [sys.executable, '-c', KILLED, str(out)],
        stdout=subprocess.PIPE,
        env={**os.environ, 'PYTHONPATH': str(repo_root)},
    )
    assert process.stdout.readline() == b'writing\n'
    assert list(leftovers(out)) == []  # It is still at work.
    write(out, 'mine')
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(names(tmp_path)) == 2
    write(out, 'mine again', replace=True)
    assert names(tmp_path) == ['a.pth']


def test_only_its_own_leftovers_are_removed(tmp_path):
    (tmp_path / '.a.pth.elsewhere-1-00.partial.pth').touch()
    (tmp_path / '.a.pth.notes').touch()
    other = sibling(tmp_path / 'b.pth', 'partial', '.pth')
    other.touch()
    write(tmp_path / 'a.pth', 'mine')
    assert len(names(tmp_path)) == 4
