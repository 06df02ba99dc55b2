"""A config as it is on disk: what can be wrong with it before it is a config."""

from __future__ import annotations

from mmengine.config import Config

from plugin.backbone_entry import load_config
from plugin.checking.problem import Problem


class NotAConfig(Exception):
    """What was given can't be read as a config; the message says where and why."""


def read(config: str) -> tuple[Config | None, list[Problem]]:
    """A config and the problems with reading it.

    Args:
        config: A path, or a name in an installed package.

    Returns:
        The config, with its ``_base_`` merged and its imports done, or None if it
        can't be had before the problems are mended.

    Raises:
        OSError: There is no such file.
        NotAConfig: It is none.
    """
    try:
        return load_config(config), []
    except OSError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or ['']
        raise NotAConfig(
            f'{config} is no config: {type(error).__name__}: {reason[0][:300]}'
        ) from error
