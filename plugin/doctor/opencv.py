"""OpenCV, which four distributions install into one folder."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.doctor.commands import pip_install
from plugin.doctor.environment import Environment, constants
from plugin.doctor.finding import ERROR, OK, WARNING, Finding
from plugin.doctor.versions import is_within

DISTRIBUTIONS = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
_LOWEST, _BELOW = '4.6', '5'


def opencv(environment: Environment) -> Iterator[Finding]:
    """The version in the folder, and whether the distributions agree on it."""
    installed = {
        name: version
        for name in DISTRIBUTIONS
        if (version := environment.version(name)) is not None
    }
    wanted = [f'{name}>={_LOWEST},<{_BELOW}' for name in installed or DISTRIBUTIONS[:1]]
    expected = f'>={_LOWEST},<{_BELOW}'
    folder = environment.folder('cv2')
    if folder is None:
        yield Finding('OpenCV', ERROR, 'not installed', expected, pip_install(*wanted))
        return
    # The files of the one that came last.
    names = dict(constants(folder / 'version.py'))
    version = names.get('opencv_version') or next(iter(installed.values()), '0')
    if is_within(version, _LOWEST, _BELOW):
        yield Finding('OpenCV', OK, version, expected)
    else:
        # mmyolo's Mosaic dies in cv2.resize of 5.0; the others were not seen to.
        breaks = environment.folder('mmyolo') is not None
        yield Finding(
            'OpenCV',
            ERROR if breaks or not is_within(version, _LOWEST, None) else WARNING,
            f'{version}' + (', in whose cv2.resize mmyolo dies' if breaks else ''),
            expected,
            pip_install(*wanted),
        )
    if len(set(installed.values())) > 1:
        yield Finding(
            'OpenCV distributions',
            WARNING,
            ', '.join(f'{name} {version}' for name, version in installed.items())
            + ': in one folder, so the last installed wins',
            'one version of all',
            pip_install('--force-reinstall', '--no-deps', *wanted),
        )
