"""The tests in environments of their own, one command a combination.

``nox -s tests-3.12``, ``nox -s 'torch(2.8)'``, ``nox -s minimum``, ``nox -s onedl``;
``nox -l`` lists them. What is after ``--`` goes to pytest; without it the quick tests
run, one process at a time. docs/environments.md has what passed.
"""

import nox

nox.options.default_venv_backend = 'venv'
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ['3.10', '3.11', '3.12', '3.13']
# torchvision goes with one torch each. Those below the newest on the Python that most
# people have with them.
TORCH = {'2.6': '0.21', '2.8': '0.23', '2.10': '0.25', '2.12': '0.27'}
EXTRAS = 'lite,det,seg,yolo,mmpretrain,weights,peft,dev'


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The set of constraints.txt."""
    install(session, 'constraints.txt', EXTRAS)
    run_tests(session)


@nox.session(python='3.11')
@nox.parametrize('version', list(TORCH), ids=list(TORCH))
def torch(session: nox.Session, version: str) -> None:
    """Another torch, with the rest as it is."""
    folder = session.create_tmp()
    constraints = f'{folder}/constraints.txt'
    with open('constraints.txt') as known, open(constraints, 'w') as file:
        file.writelines(line for line in known if not line.startswith('torch'))
        file.write(f'torch=={version}.*\ntorchvision=={TORCH[version]}.*\n')
    install(session, constraints, EXTRAS)
    run_tests(session)


@nox.session(python='3.10')
def minimum(session: nox.Session) -> None:
    """The lowest version of every declared range."""
    install(session, 'constraints-min.txt', EXTRAS)
    run_tests(session)


@nox.session(python='3.11')
def onedl(session: nox.Session) -> None:
    """The packages of onedl instead of OpenMMLab's."""
    session.env['MMCV_WITH_OPS'] = '0'
    install(session, 'constraints-onedl.txt', 'onedl,weights,dev')
    run_tests(session)


def install(session: nox.Session, constraints: str, extras: str) -> None:
    # The tests build wheels with it, and an older torch brings none that is new enough.
    session.install('setuptools>=77,<81')
    session.install('-c', constraints, '-e', f'.[{extras}]', './mmcv-lite-ops')


def run_tests(session: nox.Session) -> None:
    chosen = session.posargs or ['-m', 'not slow and not wide', '-n', '1']
    session.run('python', '-m', 'pytest', *chosen, env={'OMP_NUM_THREADS': '1'})
