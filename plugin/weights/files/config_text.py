"""Config texts that a checkpoint carries, and that mmengine executes as Python."""

import ast
import logging

from mmengine.logging import print_log


def drop_code(checkpoint: dict, filename: str) -> None:
    """Drop config texts that are more than mmengine's dumps of a config.

    ``Runner.resume`` executes ``meta['config']``, and an inferencer built without a
    model executes the ``cfg`` of the message hub or of ``meta``
    (mmengine 0.10.7, runner/runner.py and infer/infer.py).
    """
    message_hub = checkpoint.get('message_hub')
    info = message_hub.get('runtime_info') if isinstance(message_hub, dict) else None
    for place in (checkpoint.get('meta'), info):
        for key in ('cfg', 'config'):
            if isinstance(place, dict) and key in place and not _is_plain(place[key]):
                del place[key]
                print_log(
                    f'{filename}: left out its config text {key!r}, which is not a '
                    'plain list of settings; mmengine would execute it',
                    logger='current',
                    level=logging.WARNING,
                )


def _is_plain(text: object) -> bool:
    # mmengine replaces {{...}} in the text before it parses it.
    if not isinstance(text, str) or '{{' in text:
        return False
    try:
        nodes = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(
        isinstance(node, ast.Assign)
        and all(
            isinstance(target, ast.Name) and target.id != '_base_'
            for target in node.targets
        )
        and _is_literal(node.value)
        for node in nodes
    )


def _is_literal(node: ast.expr) -> bool:
    """Numbers, strings and containers of them, with calls of ``dict(a=1)`` alone."""
    if isinstance(node, ast.Call):
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
        parts = [*node.args, *(k.value for k in node.keywords)]
        return is_dict and all(map(_is_literal, parts))
    if isinstance(node, ast.Dict):
        return all(map(_is_literal, [*node.keys, *node.values]))
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return all(map(_is_literal, node.elts))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.operand, ast.Constant)
    return isinstance(node, ast.Constant)
