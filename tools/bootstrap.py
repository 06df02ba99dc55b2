"""Makes .venv and installs the known-good set into it; does nothing when it is there.

With the argument ``onedl`` it makes .venv-onedl of onedl's packages instead, with
``docs`` .venv-docs of what builds the site. Runs on the standard library alone, and on
a Python that is too old for the project, so that it can say so: no f-strings.
"""
# ruff: noqa: UP031

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, '.venv')
# Written last, with a digest of all that decides what is installed: an interrupted
# installation has none, and one of an older checkout has another.
STAMP = os.path.join(VENV, 'complete')
OPS = 'mmcv-lite-ops'
EXTRAS = 'lite,det,seg,yolo,mmpretrain,weights,peft,dev'
CONSTRAINTS = 'constraints.txt'
MINIMUM = (3, 10)
# torch's CUDA libraries are most of it; the wheels lie beside it for a while.
DISK_GIB = 10


def main():
    if sys.version_info < MINIMUM:
        fail(
            'Python %d.%d is too old: %d.%d or newer is needed. Name one with '
            '`make PYTHON=python3.11 ...`' % (sys.version_info[:2] + MINIMUM)
        )
    if sys.argv[1:] == ['onedl']:
        choose_onedl()
    if sys.argv[1:] == ['docs']:
        choose_docs()
    digest = what_to_install()
    if read(STAMP) == digest:
        return
    started = time.time()
    try:
        if os.path.exists(STAMP):
            os.remove(STAMP)
        else:
            shutil.rmtree(VENV, ignore_errors=True)
            check_disk()
            create()
        install()
        with open(STAMP, 'w') as stamp:
            stamp.write(digest)
    except KeyboardInterrupt:
        fail('interrupted; the next `make` goes on with what pip has downloaded')
    except OSError as error:
        fail('%s; fix that and run `make` again' % error)
    name = os.path.basename(VENV)
    print('Environment ready in %d s: %s' % (time.time() - started, name), flush=True)


def choose_onedl():
    global VENV, STAMP, EXTRAS, CONSTRAINTS
    VENV = os.path.join(ROOT, '.venv-onedl')
    STAMP = os.path.join(VENV, 'complete')
    EXTRAS, CONSTRAINTS = 'onedl,weights,dev', 'constraints-onedl.txt'
    # onedl-mmcv would compile its operators for the torch that it finds.
    os.environ['MMCV_WITH_OPS'] = '0'


def choose_docs():
    global VENV, STAMP, EXTRAS, DISK_GIB
    VENV = os.path.join(ROOT, '.venv-docs')
    STAMP = os.path.join(VENV, 'complete')
    EXTRAS, DISK_GIB = 'docs', 1


def requirements_of(extra):
    """Read the list of an extra; pip can't install one without the project's own."""
    text = read(os.path.join(ROOT, 'pyproject.toml'))
    found = re.search(r'^%s = \[\n(.*?)^\]' % extra, text, re.M | re.S)
    return re.findall("^ *'(.*)',$", found.group(1), re.M)


def what_to_install():
    digest = hashlib.sha256(repr((sys.version_info[:2], EXTRAS)).encode())
    files = [CONSTRAINTS, 'pyproject.toml']
    for folder, folders, names in os.walk(os.path.join(ROOT, OPS)):
        # Not what pip itself leaves there, or the next run would install again.
        made = ('build', '__pycache__')
        folders[:] = sorted(
            f for f in folders if f not in made and not f.endswith('.egg-info')
        )
        files += [os.path.join(folder, name) for name in sorted(names)]
    for name in files:
        digest.update(read(os.path.join(ROOT, name)).encode())
    return digest.hexdigest()


def check_disk():
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < DISK_GIB:
        fail(
            '%.1f GiB free in %s, but the installation needs %d GiB; make room, or '
            'clone to another disk' % (free, ROOT, DISK_GIB)
        )


def create():
    name = os.path.basename(VENV)
    version = sys.version.split()[0]
    print('Creating %s with Python %s' % (name, version), flush=True)
    made = subprocess.run([sys.executable, '-m', 'venv', VENV])
    if made.returncode:
        fail(
            'this Python cannot make a virtual environment; on Debian and Ubuntu '
            '`apt install python3-venv` fixes it'
        )


def install():
    docs = EXTRAS == 'docs'
    print('Installing' + ('' if docs else ' (torch is most of it)'), flush=True)
    python = os.path.join(VENV, 'bin', 'python')
    pip = [python, '-m', 'pip', 'install', '--disable-pip-version-check']
    pip += ['--constraint', CONSTRAINTS]
    # The package itself editable; its sibling never, since an editable install
    # could not lie in mmcv's own folder.
    wanted = ['--editable', '.[%s]' % EXTRAS, './' + OPS]
    if docs:
        wanted = requirements_of(EXTRAS)
    with tempfile.TemporaryFile('w+') as messages:
        # Its progress is on the other stream.
        if subprocess.run(pip + wanted, cwd=ROOT, stderr=messages).returncode == 0:
            return
        messages.seek(0)
        text = messages.read()
    shutil.rmtree(VENV, ignore_errors=True)
    fail('pip could not install the packages: %s' % reason(text))


# What pip writes of each, and what to do.
REASONS = (
    (('No space left',), 'the disk is full; make room and run `make` again'),
    (
        ('NewConnectionError', 'NameResolutionError', 'ReadTimeoutError', 'ProxyError'),
        'there is no network; with one, run `make` again: it goes on with what was '
        'downloaded',
    ),
)


def reason(text):
    """Return what has failed, in one line."""
    for marks, reason in REASONS:
        if any(mark in text for mark in marks):
            return reason
    lines = [line for line in text.splitlines() if line.startswith('ERROR: ')]
    reason = lines[0][len('ERROR: ') :] if lines else 'it says nothing about why'
    return '%s; fix that and run `make` again: it starts clean' % reason


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ''


def fail(message):
    sys.exit('error: %s.' % message.rstrip('.'))


if __name__ == '__main__':
    main()
