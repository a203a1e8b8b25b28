"""From what the user names to an `nn.Module`: the choice among what a file holds, and its construction."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rfcalc.command.target import Target, import_target, importable, line_of, said
from rfcalc.errors import LoadError, UsageError

if TYPE_CHECKING:
    from torch import nn

BUILDERS = ("build_model", "get_model")


def parse_arguments(texts: list[str]) -> dict[str, Any]:
    """Read `--arg name=value` pairs; a value that is no Python literal stays a text.

    Raises:
        UsageError: One is not of the form name=value.
    """
    arguments = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--arg {text}: write name=value, such as --arg num_classes=10")
        try:
            arguments[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            arguments[name] = value
    return arguments


def load_model(target: Target | str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Import the target and build its model; the import path is afterwards as it was.

    Without a name: `model` if it is a module instance, else `build_model()` or `get_model()`, else the only
    `nn.Module` subclass defined there that can be built from `arguments`.

    Args:
        target: `model.py`, `model.py:Name` or `package.module:name`.
        arguments: Keyword arguments for the constructor or the function.

    Raises:
        LoadError: It does not import, holds no model or several, or the constructor fails.
    """
    target = Target.parse(target) if isinstance(target, str) else target
    with importable(target):
        return build(target, arguments or {})


def build(target: Target, arguments: Mapping[str, Any]) -> nn.Module:
    """`load_model` for a caller who keeps `importable(target)` open: forward may import neighbours, too."""
    module = import_target(target)
    found = _named(module, target) if target.name else _chosen(module, target, arguments)
    return _built(found, target, dict(arguments))


def _named(module: ModuleType, target: Target) -> Any:
    found: Any = module
    for part in target.name.split("."):
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, [n for n in vars(module) if n[:1] != "_"], n=3)
            names = [_command(target, name) for name in close or _candidates(module)]
            hint = f"; {'did you mean' if close else 'it has'} {_either(names)}" if names else ""
            raise LoadError(f"{target.place} has no {target.name!r}{hint}")
        found = getattr(found, part)
    return found


def _chosen(module: ModuleType, target: Target, arguments: Mapping[str, Any]) -> Any:
    import torch

    if isinstance(getattr(module, "model", None), torch.nn.Module):
        return module.model
    for name in BUILDERS:
        if inspect.isroutine(getattr(module, name, None)):
            return getattr(module, name)
    classes = _classes(module)
    ready = [cls for cls in classes if not _missing(cls, arguments)]
    if len(ready) == 1:
        return ready[0]
    if ready:
        commands = [_command(target, cls.__name__) for cls in ready]
        names = ", ".join(cls.__name__ for cls in ready)
        raise LoadError(
            f"{target.place} defines {len(ready)} models ({names}); choose one: {_either(commands)}"
        )
    if len(classes) == 1:
        raise LoadError(_needs(classes[0], target, arguments))
    instances = [name for name, value in vars(module).items() if isinstance(value, torch.nn.Module)]
    if len(instances) == 1 and not classes:
        return getattr(module, instances[0])
    if classes or instances:
        commands = [_command(target, name) for name in _candidates(module)]
        needs = " (the classes need arguments: --arg name=value)" if classes else ""
        raise LoadError(f"{target.place} has several models{needs}; choose one: {_either(commands)}")
    raise LoadError(
        f"{target.place} holds no model: it needs an nn.Module instance called model, "
        "a function build_model() or get_model(), or an nn.Module subclass"
    )


def _built(found: Any, target: Target, arguments: dict[str, Any]) -> nn.Module:
    import torch

    if isinstance(found, torch.nn.Module):
        if arguments:
            given = ", ".join(f"--arg {name}" for name in arguments)
            raise LoadError(
                f"{target.text} is built already, so {given} has nothing to go to; name its class or function"
            )
        return found
    if not callable(found):
        raise LoadError(
            f"{target.text} is {_kind(found)}, not an nn.Module, nor a class or function that makes one"
        )
    name = getattr(found, "__name__", target.text)
    if _missing(found, arguments):
        raise LoadError(_needs(found, target, arguments))
    try:
        model = found(**arguments)
    except SystemExit as error:
        raise LoadError(f"{name}() exits (sys.exit({error.code!r}){line_of(error, target)})") from error
    except Exception as error:
        raise LoadError(
            f"{name}({_given(arguments)}) raises{line_of(error, target)}: {said(error)}"
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise LoadError(f"{name}() of {target.place} returns {_kind(model)}, not an nn.Module")
    return model


def _classes(module: ModuleType) -> list[type]:
    import torch

    return [
        value
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, torch.nn.Module)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and not inspect.isabstract(value)
    ]


def _candidates(module: ModuleType) -> list[str]:
    import torch

    names = [name for name in BUILDERS if inspect.isroutine(getattr(module, name, None))]
    names += [cls.__name__ for cls in _classes(module)]
    return names + [name for name, value in vars(module).items() if isinstance(value, torch.nn.Module)]


def _missing(found: Any, arguments: Mapping[str, Any]) -> list[str]:
    """What keeps `found(**arguments)` from a call: parameters without a value, names it does not take."""
    try:
        parameters = inspect.signature(found).parameters
    except (ValueError, TypeError):
        return []
    kinds = inspect.Parameter
    takes_any = any(parameter.kind is kinds.VAR_KEYWORD for parameter in parameters.values())
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is kinds.empty
        and parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        and name not in arguments
    ]
    return needed + [name for name in arguments if name not in parameters and not takes_any]


def _needs(found: Any, target: Target, arguments: Mapping[str, Any]) -> str:
    name = getattr(found, "__name__", target.text)
    missing = _missing(found, arguments)
    refused = [argument for argument in missing if argument in arguments]
    if refused:
        takes = ", ".join(inspect.signature(found).parameters) or "no arguments"
        return f"{name} of {target.place} does not take {', '.join(refused)}; it takes {takes}"
    flags = " ".join(f"--arg {argument}=..." for argument in missing)
    return f"{name} of {target.place} needs {', '.join(missing)}: {_command(target, name)} {flags}"


def _command(target: Target, name: str) -> str:
    return f"python -m rfcalc {target.place}:{name}"


def _either(commands: list[str], at_most: int = 5) -> str:
    more = len(commands) - at_most
    return " | ".join(commands[:at_most]) + (f" | and {more} more" if more > 0 else "")


def _given(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _kind(value: object) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0] in 'aeioAEIO' else 'a'} {kind}"
