"""``rule``: what a rule of ``check`` finds, why that is bad, and how to fix it."""

from __future__ import annotations

import click

HEAD = """\
# The rules of check

What `python -m plugin check` finds, rule by rule; `python -m plugin rule NAME` prints
the page of one. `--select` and `--ignore` take the names, and so does a comment at
the end of the line that the report shows: `# plugin: ignore[NAME]`. What comes from a
`_base_` is ignored by a comment on the line of that `_base_`.

A fix is safe if the config means the same after it, and now fits; `--fix` writes those.
It is unsafe if it drops something or chooses for you; `--unsafe-fixes` writes them too.

This file is made by `python -m plugin rule --all`.
"""


@click.command(
    epilog="""\b
Examples:
  python -m plugin rule
  python -m plugin rule maps"""
)
@click.argument('name', required=False)
@click.option('--all', 'every', is_flag=True, help='All pages, as docs/rules.md.')
def rule(name: str | None, every: bool) -> None:
    """Show the page of a rule, or the names of all.

    A rule is a thing that `check` looks for.
    """
    from plugin.check import RULES
    from plugin.nearest import did_you_mean

    if every:
        click.echo('\n'.join([HEAD, *(one.page() for one in RULES)]), nl=False)
        return
    if name is None:
        width = max(len(one.name) for one in RULES)
        for one in RULES:
            click.echo(f'{one.name:{width}}  {one.finds}')
        return
    pages = {one.name: one.page() for one in RULES}
    if name not in pages:
        raise click.UsageError(f'{name!r} is no rule{did_you_mean(name, pages)}')
    click.echo(pages[name], nl=False)
