"""A config is checked where it will be, and appears whole or not at all."""

import threading

import pytest

from plugin.swap import write_checked

GOOD = "_base_ = 'base.py'\n"
BASE = 'a = 1\n'


@pytest.fixture
def folder(tmp_path):
    """With the base of GOOD."""
    (tmp_path / 'base.py').write_text(BASE)
    return tmp_path


@pytest.fixture
def checked(monkeypatch):
    """The paths that are checked, which is done elsewhere."""
    paths = []

    def check(path):
        paths.append(path)
        return []

    monkeypatch.setattr('plugin.swap.check', check)
    return paths


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_it_is_checked_beside_its_place_and_nothing_is_left(folder, checked):
    assert write_checked(GOOD, folder / 'out.py', replace=False) == []
    (path,) = checked
    assert path.startswith(f'{folder}/.out.py.') and path.endswith('.partial.py')
    assert names(folder) == ['base.py', 'out.py']


def test_of_two_that_write_one_new_config_one_is_told(folder, monkeypatch):
    barrier, results = threading.Barrier(2), []

    def check(path):
        barrier.wait(60)
        return []

    monkeypatch.setattr('plugin.swap.check', check)

    def run(text):
        try:
            write_checked(text, folder / 'out.py', replace=False)
            results.append(text)
        except FileExistsError as error:
            results.append(error.strerror)

    threads = [
        threading.Thread(target=run, args=(f'{GOOD}a = {i}\n',)) for i in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (message,) = [r for r in results if not r.startswith('_base_')]
    (text,) = [r for r in results if r.startswith('_base_')]
    assert message == 'is already there; --force replaces it'
    assert (folder / 'out.py').read_text() == text
    assert names(folder) == ['base.py', 'out.py']


def test_a_link_is_written_through_and_checked_where_it_is_read(folder, checked):
    (folder / 'there').mkdir()
    link = folder / 'out.py'
    link.symlink_to(folder / 'there/out.py')
    with pytest.raises(FileExistsError):
        write_checked(GOOD, link, replace=False)
    write_checked(GOOD, link, replace=True)
    assert link.is_symlink() and (folder / 'there/out.py').read_text() == GOOD
    # `_base_` is relative to the link, so it is checked beside that.
    assert all(path.startswith(f'{folder}/.out.py.') for path in checked)
    assert names(folder) == ['base.py', 'out.py', 'there']


def test_folders_that_were_made_for_it_go_with_it(folder, monkeypatch):
    def check(path):
        raise KeyboardInterrupt

    monkeypatch.setattr('plugin.swap.check', check)
    with pytest.raises(KeyboardInterrupt):
        write_checked(GOOD, folder / 'new/deep/out.py', replace=False)
    assert names(folder) == ['base.py']
