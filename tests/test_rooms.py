"""The rooms of ``plugin/``: imports run one way, and each room says what it holds.

Read from the source alone, so that nothing has to be importable.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / 'plugin'

# Each may import those of the lines above it, and its own modules.
ORDER = (
    ('spec', 'registry', 'libraries', 'nearest'),
    ('timm_models',),
    ('weights',),
    ('freezing',),
    ('training',),
    ('decay',),
    ('backbones',),
    ('necks',),
    ('wrappers',),
    ('publish',),
    ('det', 'seg', 'yolo', 'cls'),
    ('measure',),
    ('config',),
    ('align', 'doctor', 'testing'),
    ('probe',),
    ('check',),
    ('swap',),
    ('demo',),
    ('cli',),
)
LEVELS = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
FILES = sorted(PLUGIN.rglob('*.py'))
ROOMS = sorted(path.parent for path in PLUGIN.glob('*/__init__.py'))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


MODULES = {module_of(path): path for path in FILES}


def room_of(module: str) -> str:
    """``weights`` of ``plugin.weights.files.sources``; '' of ``plugin`` itself."""
    return module.partition('.')[2].partition('.')[0]


@cache
def imports_of(module: str) -> tuple[tuple[str, str | None, int], ...]:
    """Module of ours, name and line of each import, also of those in functions.

    Without what is imported for type checkers alone.
    """
    tree = ast.parse(MODULES[module].read_text('utf-8'))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, None, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f'{module}:{node.lineno}: write the import in full'
            for alias in node.names:
                inner = f'{node.module}.{alias.name}'
                whole = inner in MODULES
                target = inner if whole else node.module
                found.append((target, None if whole else alias.name, node.lineno))
    return tuple(one for one in found if one[0].partition('.')[0] == 'plugin')


def test_every_module_is_in_a_room_of_the_order():
    outside = {'', '__main__'}
    assert {room_of(module) for module in MODULES} - outside <= set(LEVELS)


@pytest.mark.parametrize('room', sorted({room_of(m) for m in MODULES} - {'__main__'}))
def test_imports_run_one_way(room):
    level = LEVELS.get(room, -1)
    wrong = [
        f'{module}:{line} imports {target}'
        for module in MODULES
        if room_of(module) == room
        for target, _, line in imports_of(module)
        if room_of(target) != room and LEVELS.get(room_of(target), -1) >= level
        # Of one line the roots may import each other, and no room another.
        if not (level == LEVELS.get(room_of(target)) == 0)
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    edges = {
        module: {target for target, _, _ in imports_of(module) if target in MODULES}
        for module in MODULES
    }
    left = {module: targets - {module} for module, targets in edges.items()}
    while True:
        done = {module for module, targets in left.items() if not targets & left.keys()}
        if not done:
            break
        left = {module: t for module, t in left.items() if module not in done}
    assert sorted(left) == []


def test_no_file_imports_a_private_name_of_another():
    wrong = [
        f'{module}:{line} imports {name} of {target}'
        for module in MODULES
        for target, name, line in imports_of(module)
        if name and name.startswith('_') and not name.startswith('__')
    ]
    assert wrong == []


def test_a_room_asks_a_library_only_through_libraries():
    """The one dynamic import of a task folder is in ``libraries.wiring``."""
    tasks = {'det', 'seg', 'yolo', 'cls'}
    wrong = [
        f'{module}:{line} imports {target}'
        for module in MODULES
        for target, _, line in imports_of(module)
        if room_of(target) in tasks and room_of(module) not in tasks
    ]
    assert wrong == []
    dynamic = re.compile(r"import_module\(f?['\"]plugin\.(?:\{|det|seg|yolo|cls)")
    places = [m for m, path in MODULES.items() if dynamic.search(path.read_text())]
    assert places == ['plugin.libraries']


def test_few_modules_stand_outside_the_rooms():
    loose = {path.name for path in PLUGIN.glob('*.py')} - {'__init__.py', '__main__.py'}
    assert len(loose) <= 6, loose


@pytest.mark.parametrize('room', ROOMS, ids=lambda path: path.name)
def test_a_room_says_what_it_holds_and_what_it_may_import(room):
    """``... Imports X and the rooms below.``, in the order of this test."""
    text = ast.get_docstring(ast.parse((room / '__init__.py').read_text('utf-8')))
    first = text.splitlines()[0]
    said = re.fullmatch(
        r'\S.*\. Imports (?:(\w+) and the rooms below|(nothing of ours))\.', first
    )
    assert said, first
    highest = max(
        (
            LEVELS[room_of(target)]
            for module in MODULES
            if room_of(module) == room.name
            for target, _, _ in imports_of(module)
            if room_of(target) not in ('', room.name)
        ),
        default=-1,
    )
    allowed = -1 if said[2] else LEVELS[said[1]]
    assert highest <= allowed < LEVELS[room.name], ORDER[highest]


def test_every_folder_says_what_it_holds():
    folders = {path.parent for path in FILES}
    missing = [
        module_of(folder / '__init__.py')
        for folder in folders
        if not ast.get_docstring(ast.parse((folder / '__init__.py').read_text('utf-8')))
    ]
    assert missing == []


def test_the_picture_in_the_documents_is_this_order():
    text = (ROOT / 'docs/architecture.md').read_text()
    picture = re.search(r'```text\n(.*?)```', text, re.S)[1]
    # The rooms stand before two spaces, and what they hold behind.
    drawn = [tuple(line.split('  ')[0].split()) for line in picture.splitlines()]
    assert drawn[::-1] == list(ORDER)


def test_every_file_that_the_documents_name_is_there():
    text = (ROOT / 'docs/architecture.md').read_text()
    named = re.findall(r'`((?:\w+/)+(?:\w+\.py)?|\w+\.py)`', text)
    assert len(named) > 20
    bare = {'wiring.py', 'my.py', 'bases.py', 'imports.py'}
    for name in set(named) - bare:
        places = (ROOT / name, PLUGIN / name, PLUGIN / 'weights' / name)
        assert any(place.exists() for place in places), name
