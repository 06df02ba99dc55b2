"""Files from the network, whole or not at all.

torch.hub (torch 2.14) takes a connection that ends early for the end of the file, and
keeps the half of it in its cache, where it stays.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch
from mmengine.dist import barrier, get_dist_info
from tqdm import tqdm

from plugin.weights.files.whole_file import whole_file

_CHUNK = 1 << 20
_TIMEOUT = 60.0
# Names that thousands of files have on the Hugging Face hub.
_SHARED_NAME = re.compile(r'((open_clip_)?(pytorch_)?model|checkpoint|weights)\.\w+')


class DownloadError(OSError):
    """Raised when a download fails; nothing of the file is kept."""


def fetch(url: str) -> Path:
    """Return the file at ``url``, from torch.hub's cache or downloaded into it.

    In distributed training rank 0 goes first and the others wait.

    Raises:
        DownloadError: It can't be reached, or has not come whole.
    """
    path = place_of(url)
    rank, world_size = get_dist_info()
    failure = None
    for turn in range(min(world_size, 2)):
        if (turn == 0) == (rank == 0) and not path.exists():
            try:
                download(url, path, progress=sys.stderr.isatty())
            except DownloadError as error:
                failure = error  # The others are waiting for this rank.
        if world_size > 1:
            barrier()
    if failure is not None:
        raise failure
    return path


def place_of(url: str) -> Path:
    """Return where in torch.hub's cache the file at ``url`` is kept, or would be.

    Raises:
        DownloadError: The URL names no file.
    """
    name = Path(urlparse(url).path).name
    if not name:
        raise DownloadError(f'{url} names no file')
    if _SHARED_NAME.fullmatch(name):
        name = f'{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}'
    return Path(torch.hub.get_dir(), 'checkpoints', name)


def download(url: str, path: str | os.PathLike, progress: bool = False) -> None:
    """Download ``url`` to ``path``, which appears when it is whole.

    Args:
        url: ``http://``, ``https://`` or ``file://``.
        path: Its folder is made.
        progress: Show a bar on standard error.

    Raises:
        DownloadError: It can't be reached, or has not come whole.
    """
    path = Path(path).expanduser()
    try:
        with whole_file(path, replace=True) as partial:
            got, expected = _copy(url, partial, progress)
            if expected is not None and got != expected:
                raise DownloadError(
                    f'{url}: the download ended after {got} of {expected} bytes; '
                    'nothing of it is kept, so try again'
                )
    except HTTPError as error:
        raise DownloadError(f'{url}: {error.code} {error.reason}') from error
    except (URLError, TimeoutError, HTTPException, ConnectionError) as error:
        reason = getattr(error, 'reason', None) or error
        raise DownloadError(
            f'{url} cannot be downloaded: {reason}; nothing of it is kept'
        ) from error


def _copy(url: str, path: Path, progress: bool) -> tuple[int, int | None]:
    """Bytes written, and bytes that the server had announced."""
    # Some servers refuse Python's own name.
    request = Request(url, headers={'User-Agent': 'torch.hub'})
    with urlopen(request, timeout=_TIMEOUT) as source, path.open('wb') as target:
        announced = source.headers.get('Content-Length')
        expected = int(announced) if announced else None
        with tqdm(
            total=expected, unit='B', unit_scale=True, disable=not progress
        ) as bar:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
                bar.update(len(chunk))
        return target.tell(), expected


def download_checked(
    url: str,
    dst: str | os.PathLike,
    hash_prefix: str | None = None,
    progress: bool = True,
) -> None:
    """What ``torch.hub.download_url_to_file`` does, keeping no half of a file.

    Args:
        url: As for :func:`download`.
        dst: Where the file goes.
        hash_prefix: What its SHA-256 begins with.
        progress: Show a bar on standard error.

    Raises:
        DownloadError: It can't be reached, has not come whole, or has another hash.
    """
    download(url, dst, progress)
    if not hash_prefix:
        return
    digest = sha256_of(Path(dst))
    if not digest.startswith(hash_prefix):
        Path(dst).unlink()
        raise DownloadError(
            f'{url} has the hash {digest}, not one that begins with {hash_prefix}; '
            'nothing of it is kept'
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
