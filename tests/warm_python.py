"""An interpreter that starts at once: a fork of one that has imported what is slow.

``python`` of :func:`warm_python` takes ``-W ignore``, ``-u``, and ``-c code``,
``-m module`` or a script; with anything else it is the real interpreter. What runs is a
process of its own, with its own arguments, environment, folder, output and exit status.
Only torch and other packages that know nothing of ours are imported before: mmdet,
mmseg, mmyolo, mmpretrain and ``plugin`` are not, and come in the order of the command.

It is not for what such a package reads from the environment when it is imported, and
not for stand-ins of one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

# Imported before any command, where they are installed.
PACKAGES = (
    'torch',
    'torchvision',
    'timm',
    'cv2',
    'scipy.optimize',
    'matplotlib.pyplot',
    'pycocotools.coco',
    'albumentations',
    'transformers.models.bert.modeling_bert',
    'peft',
    'mmengine.runner',
    'mmengine.visualization',
    'mmcv.cnn',
    'mim.cli',
)

OPTIONS = ('-u', '-W')


def _understood(args: list[str]) -> bool:
    while args and args[0] in OPTIONS:
        if args[0] == '-W' and args[1:2] != ['ignore']:
            return False
        args = args[2 if args[0] == '-W' else 1 :]
    spawned = '--multiprocessing-fork' in args
    return bool(args) and not spawned and (args[0] in ('-c', '-m') or args[0][0] != '-')


def ask(path: str, executable: str, args: list[str]) -> None:
    """Let the server at ``path`` run ``args``, and end as that has ended."""
    if not _understood(args):
        os.execv(sys.executable, [sys.executable, *args])
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [b'\n'], [0, 1, 2])
        request = [executable, args, os.getcwd(), dict(os.environ)]
        server.sendall(json.dumps(request).encode() + b'\n')
        status = int(server.makefile().readline() or 1)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


class _Server:
    """Forks a process for each request, until its standard input is closed."""

    def __init__(self, listener: socket.socket) -> None:
        import selectors

        self.listener = listener
        self.asking: dict[int, socket.socket] = {}
        self.selector = selectors.DefaultSelector()
        self.woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for source in (listener, self.woken, 0):
            self.selector.register(source, selectors.EVENT_READ)

    def serve(self) -> list | None:
        """Return a request in the process that is to run it, and None at the end."""
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    request = self._fork()
                    if request is not None:
                        return request
                elif key.fileobj == self.woken:
                    os.read(self.woken, 1024)
                    self._answer()
                elif key.fileobj == 0:
                    for pid in self.asking:
                        os.killpg(pid, signal.SIGKILL)
                    return None
                else:
                    # Whoever has asked is gone.
                    self.selector.unregister(key.fileobj)
                    if key.data in self.asking:
                        os.killpg(key.data, signal.SIGKILL)

    def _fork(self) -> list | None:
        connection, _ = self.listener.accept()
        _, outputs, _, _ = socket.recv_fds(connection, 1, 3)
        request = connection.makefile().readline()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.selector.close()
            self.listener.close()
            for other in (connection, *self.asking.values()):
                other.close()
            for number, output in enumerate(outputs):
                os.dup2(output, number)
                os.close(output)
            return json.loads(request)
        for output in outputs:
            os.close(output)
        self.asking[pid] = connection
        self.selector.register(connection, 1, pid)
        return None

    def _answer(self) -> None:
        while self.asking:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            connection = self.asking.pop(pid)
            if connection in {k.fileobj for k in self.selector.get_map().values()}:
                self.selector.unregister(connection)
                connection.sendall(b'%d\n' % os.waitstatus_to_exitcode(status))
            connection.close()


def _run(request: list, installed: list[str]) -> None:
    """Become the process of ``request``."""
    import importlib
    import runpy
    import types
    import warnings

    import numpy as np

    sys.executable, args, folder, environment = request
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    np.random.seed(None)
    while args[0] in OPTIONS:
        if args[0] == '-W':
            warnings.simplefilter('ignore')
            sys.warnoptions.append('ignore')
            args = args[1:]
        args = args[1:]
    what, *sys.argv = args if args[0][0] == '-' else ['', *args]
    first = os.path.dirname(os.path.abspath(args[0])) if not what else ''
    more = filter(None, environment.get('PYTHONPATH', '').split(os.pathsep))
    sys.path[:] = [folder if what == '-m' else first, *more, *installed]
    importlib.invalidate_caches()
    if what == '-c':
        code, sys.argv[0] = sys.argv[0], '-c'
        main = sys.modules['__main__'] = types.ModuleType('__main__')
        exec(compile(code, '<string>', 'exec'), vars(main))
    elif what == '-m':
        runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
    else:
        runpy.run_path(args[0], run_name='__main__')


def _end(error: BaseException | None) -> None:
    """End the process as the interpreter does, without freeing what was imported."""
    import atexit
    import threading

    status = 0
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code
        status = code if isinstance(code, int) else 1
        if code is not status:
            print(code, file=sys.stderr)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def _import_packages() -> None:
    import importlib

    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # The command says what it lacks.


def _main() -> None:
    if sys.argv[1] != 'serve':
        return ask(sys.argv[1], sys.argv[2], sys.argv[3:])
    import gc
    import warnings

    installed = sys.path[1:]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        _import_packages()
    gc.collect()
    gc.freeze()
    request = _Server(socket.socket(fileno=int(sys.argv[2]))).serve()
    if request is None:
        return
    try:
        _run(request, installed)
    except BaseException as error:
        _end(error)
    _end(None)


if __name__ == '__main__':
    _main()
