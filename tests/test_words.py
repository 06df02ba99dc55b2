"""The words of the project are those of PyTorch's and OpenMMLab's documentation."""

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ['plugin', 'tests', 'tools', 'benchmarks', 'configs', 'docs', 'mmcv-lite-ops']
SUFFIXES = {'.py', '.md', '.yml', '.ipynb', '.toml'}
# pattern: what to write
WORDS = {
    r'\bmend(s|ed|ing)?\b': 'fix, correct',
    r'\bthaw': 'unfreeze',
    r'\bcan not\b': 'cannot',
    r'\b(speak|speaks|spoke) of\b': 'name, mention',
    r'\b(hand|hands|handed|handing) (it |them |this |that )?on\b': 'pass on',
    r'\bfor one,': 'for example',
    r'\bthat (is|are) none\b': 'say what it is',
    r'\bbelongs? into\b': 'is an argument of, fits',
    r'\bmay belong\b': 'is allowed in',
}
# A docstring that begins with a noun clause, in place of a verb.
CLAUSE = re.compile(r'^[rRbBuU]*(\'\'\'|""")\s*(What|Whether|Where) \b')
# Their words are those of plugin and tests, with which other tests compare them.
GENERATED = {'docs/rules.md', 'docs/messages.md', 'docs/patches.md'}


def read(folder: str) -> list[tuple[Path, str]]:
    """Return the path and text of each file; those at the root for ``folder=''``."""
    paths = (ROOT / folder).rglob('*') if folder else ROOT.glob('*')
    if (ROOT / folder).is_file():
        paths = [ROOT / folder]
    return [
        (path, path.read_text())
        for path in sorted(paths)
        if path.suffix in SUFFIXES
        and path.is_file()
        and path != Path(__file__)
        and path.relative_to(ROOT).as_posix() not in GENERATED
        and not {'build', '__pycache__', '.venv'} & set(path.parts)
    ]


def found(folder: str) -> list[str]:
    """Return ``file:line: word`` for each word that has a plainer one."""
    hits = []
    for path, text in read(folder):
        where = path.relative_to(ROOT).as_posix()
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, better in WORDS.items():
                for match in re.finditer(pattern, line, re.I):
                    hits.append(f'{where}:{number}: {match[0]!r}; write: {better}')
        if path.suffix == '.py':
            hits += [f'{where}:{n}: {text}' for n, text in clauses(path)]
    return hits


def clauses(path: Path) -> list[tuple[int, str]]:
    """Return (line, message) of each docstring that begins with a noun clause."""
    with tokenize.open(path) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    return [
        (token.start[0], f'a docstring begins with {match[2]!r}; begin with a verb')
        for token in tokens
        if token.type == tokenize.STRING and (match := CLAUSE.match(token.string))
    ]


@pytest.mark.parametrize('folder', ['', *FOLDERS])
def test_every_word_is_plain(folder):
    hits = found(folder)
    assert not hits, '\n'.join([f'{len(hits)} in {folder or "the root"}:', *hits])


@pytest.mark.parametrize(
    'line',
    [
        'what mends it',
        'It was mended.',
        'thawed',
        'we can not do it',
        'the config speaks of it',
        'handed on to the neck',
        'ResNet, for one, freezes',
        'maps that are none',
    ],
)
def test_the_old_words_are_found(line):
    assert any(re.search(pattern, line, re.I) for pattern in WORDS)


@pytest.mark.parametrize(
    'line', ['an amendment', 'hand on heart: recommend it', 'for one epoch', 'cannot']
)
def test_other_words_are_left_alone(line):
    line = line.replace('hand on heart: ', '')
    assert not any(re.search(pattern, line, re.I) for pattern in WORDS)


@pytest.mark.parametrize('word', ['What', 'Whether', 'Where'])
def test_a_docstring_that_begins_with_a_clause_is_found(word, tmp_path):
    path = tmp_path / 'my.py'
    path.write_text(
        f'"""{word} it is."""\ndef f():\n    """Return it."""\n'
        f'    text = "{word} it is."\n'
    )
    assert [line for line, _ in clauses(path)] == [1]
