"""What the audit says."""

from __future__ import annotations

from collections.abc import Iterable

from plugin.pretrained.loading import Loading, Tally, tensors_of
from plugin.pretrained.prefix import best_prefix


def facts_of(loading: Loading, counted: Tally) -> str:
    """The counts of a loading: missing, unexpected, mismatched and so on."""
    facts = [
        f'{len(counted.missing)} missing{_examples(counted.missing)}',
        f'{loading.unexpected} unexpected',
        f'{len(loading.mismatched)} mismatched{_examples(loading.mismatched)}',
    ]
    if loading.adapted:
        facts.append(f'{loading.adapted} resized')
    if counted.overwritten:
        names = counted.overwritten
        facts.append(f'{len(names)} overwritten after loading{_examples(names)}')
    return f'{", ".join(facts)} tensors'


def advice(loading: Loading, share: float) -> str:
    """What to do where a loading gave only ``share``, without a full stop."""
    module, weights = loading.module, loading.weights
    if not weights:
        return (
            f'{type(module).__name__}.init_weights() does not load what init_cfg '
            'names: let it call super().init_weights()'
        )
    found = best_prefix(weights, module)
    if found is not None and found[1].share > share:
        prefix, better = found
        names = f' (in {better.origin} names)' if better.origin else ''
        if not prefix:
            return f'No prefix would give {percent(better.share)}{names}: leave it out'
        return f"prefix='{prefix}' would give {percent(better.share)}{names}"
    if loading.mismatched:
        name, file = next(iter(loading.mismatched.items()))
        return (
            f'It is of another size: {name} is {tuple(tensors_of(module)[name].shape)} '
            f"in the model and {file} in the file. Set the model's arguments to those "
            'of the checkpoint'
        )
    theirs = [n for n in weights if not n.endswith('num_batches_tracked')]
    return (
        f'No prefix would give more: the file has {", ".join(theirs[:2])}, the model '
        f'{", ".join(list(tensors_of(module))[:2])} (python -m plugin keys shows all)'
    )


def _examples(names: Iterable[str]) -> str:
    names = sorted(names)
    if not names:
        return ''
    return f' ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'


def percent(share: float) -> str:
    """``share`` as a user reads it."""
    # Never 100 % of less than all, nor 0 % of more than nothing.
    if 0 < share < 0.001:
        return 'less than 0.1 %'
    if 0.999 < share < 1:
        return '99.9 %'
    return f'{100 * share:.1f} %'


def millions(count: int) -> str:
    """A number of parameters as a user reads it."""
    return f'{count / 1e6:.1f} M' if count >= 1e5 else f'{count:,}'
