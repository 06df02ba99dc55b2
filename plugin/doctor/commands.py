"""Commands for the shell that change what is installed, as this environment needs them.

None of them writes the files of one distribution over those of another: a package that
both OpenMMLab and onedl publish is named as the one that is here does, and whatever
else is in its folder is uninstalled first.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from plugin.doctor.environment import Environment
from plugin.doctor.known import (
    KNOWN,
    ONEDL,
    OPERATORS,
    family_of,
    module_of,
    requirement,
    transformers_below,
)

_CLONE = Path(__file__).resolve().parents[2]
# It compiles the operators for whatever torch it finds, which takes long or fails.
_WITHOUT_OPERATORS = 'MMCV_WITH_OPS=0 '


def pip_install(*requirements: str) -> str:
    """Return ``pip install ...`` into the environment of this interpreter."""
    compiles = any(r.startswith('onedl-mmcv') for r in requirements)
    prefix = _WITHOUT_OPERATORS if compiles else ''
    return f'{prefix}{_pip()} install {" ".join(map(shlex.quote, requirements))}'


def pip_uninstall(*distributions: str) -> str:
    """Return ``pip uninstall ...``, without questions."""
    return f'{_pip()} uninstall -y {" ".join(map(shlex.quote, distributions))}'


def install_mmcv(environment: Environment) -> str:
    """Return what installs an mmcv that every gate and torch takes, with our operators.

    What else has files in mmcv's folder is uninstalled first.
    """
    name = environment.name('mmcv')
    others = [owner for owner in environment.owners('mmcv') if owner != name]
    install = pip_install(requirement(name), operators_folder())
    return f'{pip_uninstall(*others)} && {install}' if others else install


def install_again(environment: Environment, modules: Sequence[str]) -> str:
    """Return what leaves one distribution for each of ``modules``.

    That of the family that mmengine is of, else the one whose files are in place.
    """
    remove = [owner for module in modules for owner in environment.owners(module)]
    wanted = [requirement(_kept(environment, module)) for module in modules]
    if 'mmcv' in modules:
        wanted.append(operators_folder())
    return f'{pip_uninstall(*dict.fromkeys(remove))} && {pip_install(*wanted)}'


def _kept(environment: Environment, module: str) -> str:
    own, holder = environment.name(module), environment.holder(module)
    if own is None:
        return holder or module
    # A full mmcv would be compiled anew, and mmyolo refuses the newest.
    alien = holder not in KNOWN and module != 'mmcv'
    return holder if alien and holder else own


def install_all(environment: Environment) -> str:
    """Return what installs the set of versions that was tried together."""
    if environment.family == ONEDL:
        constraints, extras = 'constraints-onedl.txt', 'onedl'
    else:
        constraints, extras = 'constraints.txt', 'lite,det,seg,yolo,mmpretrain'
        if set(environment.owners('mmcv')) - {'mmcv-lite'}:
            extras = extras.removeprefix('lite,')
    command = pip_install('-c', constraints, '-e', f'.[{extras}]', f'./{OPERATORS}')
    if environment.family == ONEDL:
        command = f'{_WITHOUT_OPERATORS}{command}'
    return command if Path.cwd() == _CLONE else f'cd {_CLONE} && {command}'


def operators_folder() -> str:
    """Return the folder ``mmcv-lite-ops`` of the clone, as pip takes it."""
    folder = _CLONE / OPERATORS
    # Installed without a clone there is no such folder, and its name must do.
    near = Path.cwd() == _CLONE or not folder.is_dir()
    return f'./{OPERATORS}' if near else str(folder)


def scripts_folder() -> str:
    """Return where this environment has its commands."""
    return os.path.dirname(sys.executable)


def _pip() -> str:
    pip = shutil.which('pip')
    if pip and os.path.dirname(pip) == scripts_folder():
        return 'pip'
    return f'{shlex.quote(sys.executable)} -m pip'


# Names that libraries ask for, and what they mean.
_MEANT = {'sklearn': 'scikit-learn', 'cv2': 'opencv-python'}
_COMMAND = re.compile(r'(?:pip|mim) install (.+)')


def advised(command: str, environment: Environment | None = None) -> str:
    """Return an installation that a library asks for, in versions that work here.

    Args:
        command: ``pip install ...`` or ``mim install ...``.
        environment: This interpreter's, if None.

    Returns:
        ``command`` as it is, if nothing better is known.
    """
    match = _COMMAND.fullmatch(command)
    if match is None:
        return command
    environment = environment or Environment()
    try:
        asked = [Requirement(word) for word in shlex.split(match[1])]
    except (InvalidRequirement, ValueError):  # -r FILE, or an address.
        return command
    wanted = [word for one in asked for word in _wanted(one, environment)]
    before = [str(one) for one in asked]
    if wanted == before and command.startswith('mim'):
        return command
    prefix = _WITHOUT_OPERATORS if any('onedl-mmcv' in w for w in wanted) else ''
    return f'{prefix}pip install {" ".join(map(shlex.quote, wanted))}'


def _wanted(asked: Requirement, environment: Environment) -> list[str]:
    name = canonicalize_name(asked.name)
    name = _MEANT.get(name, name)
    if name == 'transformers' or 'multimodal' in asked.extras:
        below = transformers_below(environment.module_version('mmpretrain') or '')
        transformers = f'transformers<{below}' if below else 'transformers'
        return (
            [transformers] if name == 'transformers' else ['pycocotools', transformers]
        )
    module = module_of(name)
    if module == 'cv2':
        return [requirement(n) for n in environment.owners('cv2') or [name]]
    if module == 'mmcv':
        return [requirement(environment.name('mmcv')), operators_folder()]
    if module is not None and family_of(name) != environment.family:
        return [requirement(environment.name(module) or name)]
    if name in KNOWN and not asked.specifier:
        return [requirement(name)]
    return [str(asked)] if name == canonicalize_name(asked.name) else [name]
