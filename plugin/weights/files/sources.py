"""Where checkpoints come from: loaders for mmengine's ``CheckpointLoader``.

===========================  ==================================================
``path/to/file``             .pth, .pt, .bin and .safetensors
``http://``, ``https://``    the same, kept in torch.hub's cache
``s3://``, ``petrel://``     the same, through mmengine's file backends
``timm://MODEL[.TAG]``       timm's weights, in timm's names
``hf-hub:OWNER/NAME[@REV]``  of the Hugging Face hub; safetensors if it has them
===========================  ==================================================

The contents say what a file is, not its name.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

import torch
from mmengine.fileio import get_file_backend
from mmengine.runner import CheckpointLoader

from plugin.weights.files.contents import names_in_pickle
from plugin.weights.files.download import DownloadError, fetch
from plugin.weights.files.safe_loading import (
    CheckpointError,
    allow_mmengine_checkpoints,
)
from plugin.weights.files.safe_loading import _reason as reason_of
from plugin.weights.files.safetensors_file import (
    DamagedFile,
    is_safetensors,
    read_safetensors,
)
from plugin.weights.timm_loading import only_read, refusal_by_timm, watch_timm


def register_sources() -> None:
    """Make mmengine load from all of the above. Doing it again is harmless."""
    if hasattr(CheckpointLoader._schemes[''], '_source'):
        return
    import mmengine.runner.checkpoint as theirs

    for prefixes, loader in (
        ('', load_from_local),
        (('http://', 'https://'), load_from_http),
        ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_ceph),
        ('timm://', load_from_timm),
        (('hf-hub:', 'hf_hub:'), load_from_hf_hub),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)
    # torchvision:// and openmmlab:// call it directly.
    theirs.load_from_http = load_from_http
    allow_mmengine_checkpoints()
    for loader in set(CheckpointLoader._schemes.values()):
        prefixes = [
            p for p, held in CheckpointLoader._schemes.items() if held is loader
        ]
        CheckpointLoader.register_scheme(prefixes, _told(loader), force=True)


def read_checkpoint(source: str, device: str = 'cpu') -> dict:
    """A checkpoint from any of these sources.

    Args:
        source: As above.
        device: ``'meta'`` has names and shapes, and reads nearly nothing of a file.

    Raises:
        CheckpointError: It is refused, or is none.
        OSError: It can't be had.
    """
    register_sources()
    return CheckpointLoader.load_checkpoint(str(source), device, logger='silent')


def _told(loader: Callable) -> Callable:
    """``loader``, whose errors about a file name that file."""

    @functools.wraps(loader)
    def load(filename: str, map_location: object = None) -> dict:
        try:
            return loader(filename, map_location)
        except DamagedFile as error:
            raise CheckpointError(f'{filename} {error}') from None

    load._source = True
    return load


def load_from_local(filename: str, map_location: object = None) -> dict:
    """A file on this machine."""
    path = Path(filename).expanduser()
    if not path.exists():
        raise FileNotFoundError(f'{filename} can not be found.')
    return _read(path, map_location)


def load_from_http(filename: str, map_location: object = None) -> dict:
    """A file of the network."""
    path = fetch(filename)
    try:
        return _read(path, map_location)
    except DamagedFile as error:
        raise DamagedFile(f'(kept at {path}) {error}') from None
    except Exception as error:
        # Of a name that many files have, it is kept under another.
        if path.name == PurePosixPath(urlparse(filename).path).name:
            raise
        reason = reason_of(str(path), error)
        if reason is None:
            raise
        raise DamagedFile(f'(kept at {path}) {reason}') from None


def load_from_ceph(
    filename: str, map_location: object = None, backend: str = 'petrel'
) -> dict:
    """An object of a storage for which mmengine has a file backend."""
    contents = get_file_backend(filename, backend_args={'backend': backend})
    contents = contents.get(filename)
    if filename.endswith('.safetensors') or contents[8:9] == b'{':
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return _moved(load(bytes(contents)), map_location)
        except SafetensorError as error:
            raise DamagedFile(f'is truncated or damaged: {error}') from error
    return torch.load(io.BytesIO(contents), map_location, weights_only=True)


def load_from_timm(filename: str, map_location: object = None) -> dict:
    """timm's pretrained weights of a model, with its classifier."""
    import timm

    from plugin.timm_models.create import check_model_name

    model_name = filename.removeprefix('timm://')
    check_model_name(model_name)
    try:
        watch_timm()
        # The seed of the training is left alone.
        with torch.random.fork_rng(devices=[]), torch.device('cpu'), only_read():
            model = timm.create_model(model_name, pretrained=True)
    except RuntimeError as error:
        if 'No pretrained weights exist' in str(error):
            raise DamagedFile('is not there: timm has no weights for it') from None
        raise refusal_by_timm(error) or error from None
    except OSError as error:
        raise _unreachable(filename, error) from error
    return _moved(dict(model.state_dict()), map_location)


def load_from_hf_hub(filename: str, map_location: object = None) -> dict:
    """The weights of a repository of the Hugging Face hub."""
    from timm.models import load_state_dict_from_hf

    try:
        weights = load_state_dict_from_hf(filename.partition(':')[2], weights_only=True)
    except OSError as error:
        raise _unreachable(filename, error) from error
    except RuntimeError as error:
        raise refusal_by_timm(error) or error from None
    return _moved(weights, map_location)


def _unreachable(filename: str, error: OSError) -> DownloadError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else ''
    return DownloadError(
        f'{filename} can not be downloaded: {type(error).__name__}: {first_line}'
    )


def _read(path: Path, map_location: object) -> dict:
    if is_safetensors(path):
        return _moved(read_safetensors(path), map_location)
    try:
        return torch.load(path, map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        names = names_in_pickle(path) if 'Unsupported operand' in str(error) else None
        if not names:
            raise
        raise DamagedFile(
            f'is refused: it is a bare pickle that asks for {", ".join(names)}. A '
            'checkpoint needs weights, numbers and text alone, and loading anything '
            "else can run any code. Don't use it unless you know who made it"
        ) from None


def _moved(weights: dict, map_location: object) -> dict:
    if not isinstance(map_location, (str, torch.device)):
        return weights
    return {name: tensor.to(map_location) for name, tensor in weights.items()}
