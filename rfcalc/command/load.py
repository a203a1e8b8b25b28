"""From what the user names to an `nn.Module`: the choice among what a file holds, and its construction."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rfcalc.command.blame import printed
from rfcalc.command.options import parse_arguments as parse_arguments
from rfcalc.command.running import NOTE, import_target, importable, line_of
from rfcalc.command.scripts import models_imported
from rfcalc.command.target import JSON, ONNX, Target
from rfcalc.errors import LoadError, wording
from rfcalc.trace.inputs import Input

if TYPE_CHECKING:
    from torch import nn

BUILDERS = ("build_model", "get_model")


def load_model(target: Target | str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Import the target and build its model; the import path is afterwards as it was.

    Without a name: `model` if it is a module instance, else `build_model()` or `get_model()`, else the only
    `nn.Module` subclass defined there that can be built from `arguments`.

    Args:
        target: What `Target` describes: `model.py:Name`, `package.module:name`, a run folder, a name, ...
        arguments: Keyword arguments for the constructor or the function.

    Raises:
        LoadError: It does not import, holds no model or several, or the constructor fails.
    """
    target = Target.parse(target) if isinstance(target, str) else target
    with importable(target):
        return build(target, arguments or {}).model


@dataclass(frozen=True)
class Loaded:
    """A model and how it was had.

    Attributes:
        model: The model.
        notes: Sentences for the report: which cells of a notebook ran, which file an imported class is from.
        inputs: Of the network, where they are known: of ONNX files, named networks, specs, run folders, and a
            size after the @.
    """

    model: nn.Module
    notes: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()


def build(target: Target, arguments: Mapping[str, Any]) -> Loaded:
    """`load_model` for a caller who keeps `importable(target)` open: forward may import neighbours, too."""
    if target.path is not None and target.path.suffix == ONNX:
        return _from_onnx(target, target.path, arguments)
    inputs = (Input(target.input_size),) if target.input_size else ()
    if target.named or (target.path is not None and target.path.suffix == JSON):
        return Loaded(_from_door(target, arguments), (), inputs)
    module = import_target(target)
    found = _named(module, target) if target.name else _chosen(module, target, arguments)
    notes = [vars(module)[NOTE]] if NOTE in vars(module) else []
    if inspect.isclass(found) and target.path and not _is_own(found, module) and not target.name:
        notes.append(f"{found.__name__} is imported from {_home(found)}")
    return Loaded(_built(found, target, dict(arguments)), tuple(notes), inputs)


def _from_door(target: Target, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the network of a name or of a JSON file; nothing of the file is run."""
    assert target.catalogue is not None
    if target.name:
        raise LoadError(f"{target.text}: a JSON file describes one network; leave the name out")
    made = target.catalogue.build(target.path or target.named, arguments)
    if not _is_network(made):
        raise LoadError(f"{target.text}: {target.catalogue.module} makes {_kind(made)}, not an nn.Module")
    model: nn.Module = made
    return model


def _from_onnx(target: Target, path: Path, arguments: Mapping[str, Any]) -> Loaded:
    from rfcalc.onnx.read import read

    if target.name or arguments:
        raise LoadError(f"{target.text}: an ONNX file holds one network; leave the name and --arg out")
    model = read(path)
    from rfcalc.onnx.module import OnnxNetwork  # needs NumPy, which onnx brings: only where onnx is there

    return Loaded(OnnxNetwork(model).eval(), (), model.inputs)


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
    held = vars(module)
    if _is_network(held.get("model")):
        return held["model"]
    for name in BUILDERS:
        if inspect.isroutine(held.get(name)):
            return held[name]
    classes = _classes(module) or _imported(module)
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
    instances = [name for name, value in held.items() if _is_network(value)]
    if instances and not classes and all(held[name] is held[instances[0]] for name in instances):
        return held[instances[0]]
    if classes or instances:
        commands = [_command(target, name) for name in _candidates(module)]
        needs = " (the classes need arguments: --arg name=value)" if classes else ""
        raise LoadError(f"{target.place} has several models{needs}; choose one: {_either(commands)}")
    raise LoadError(
        f"{target.place} holds no model: it needs an nn.Module instance called model, "
        f"a function build_model() or get_model(), or an nn.Module subclass{_hint(target)}"
    )


def _built(found: Any, target: Target, arguments: dict[str, Any]) -> nn.Module:
    if _is_network(found):
        if arguments:
            given = ", ".join(f"--arg {name}" for name in arguments)
            raise LoadError(
                f"{target.text} is built already, so {given} has nothing to go to; name its class or function"
            )
        model: nn.Module = found
        return model
    _refuse_foreign(found, target)
    if not callable(found):
        raise LoadError(
            f"{target.text} is {_kind(found)}, not an nn.Module, nor a class or function that makes one"
        )
    name = getattr(found, "__name__", target.text)
    if _missing(found, arguments):
        raise LoadError(_needs(found, target, arguments))
    try:
        made = found(**arguments)
    except SystemExit as error:
        raise LoadError(
            f"{name}() exits (sys.exit({printed(error.code)}){line_of(error, target)})"
        ) from error
    except Exception as error:
        raise LoadError(
            f"{name}({_given(arguments)}) raises{line_of(error, target)}: {wording(error)}"
        ) from error
    if inspect.iscoroutine(made):
        made.close()
        raise LoadError(f"{name}() of {target.place} is asynchronous; write `def`, not `async def`")
    _refuse_foreign(made, target)
    if not _is_network(made):
        raise LoadError(f"{name}() of {target.place} returns {_kind(made)}, not an nn.Module{_inside(made)}")
    built: nn.Module = made
    return built


def _is_network(value: object) -> bool:
    """Whether a value is a module, by its type: isinstance would run a `__class__` of the user's."""
    import torch

    return issubclass(type(value), torch.nn.Module)


def _refuse_foreign(value: object, target: Target) -> None:
    """Refuse what cannot be analysed, in the words of `described`, where it has words of its own for it."""
    import torch

    from rfcalc.trace.prepare import described

    if issubclass(type(value), torch.jit.ScriptFunction | torch.export.ExportedProgram):
        raise LoadError(f"{target.text} is {described(value)}")
    home = type(value).__module__.partition(".")[0]
    if home in _FRAMEWORKS:
        raise LoadError(
            f"{target.text} is a model of {_FRAMEWORKS[home]} ({type(value).__name__}), which PyTorch does "
            "not run; name a torch.nn.Module"
        )


_FRAMEWORKS = {
    "keras": "Keras",
    "tensorflow": "TensorFlow",
    "tf_keras": "Keras",
    "jax": "JAX",
    "flax": "Flax",
    "haiku": "Haiku",
    "equinox": "Equinox",
    "mxnet": "MXNet",
    "paddle": "Paddle",
    "mlx": "MLX",
    "tinygrad": "tinygrad",
    "onnx": "ONNX",
    "onnxruntime": "ONNX Runtime",
    "sklearn": "scikit-learn",
}


def _inside(value: object) -> str:
    """Return a hint at the modules inside of a tuple, list or dict that a builder returned; "" for none."""
    items = list(value.items()) if isinstance(value, dict) else []
    items = list(enumerate(value)) if isinstance(value, list | tuple) else items
    places = [f"[{key!r}]" for key, item in items if _is_network(item)]
    return f"; return the module alone: it is at {', '.join(places[:3])}" if places else ""


def _subclasses(module: ModuleType) -> list[type]:
    """Return the classes of networks that a module's public names stand for, each once."""
    import torch

    found = {
        id(value): value
        for name, value in vars(module).items()
        if issubclass(type(value), type)
        and issubclass(value, torch.nn.Module)
        and not name.startswith("_")
        and not inspect.isabstract(value)
    }
    return list(found.values())


def _is_own(cls: type, module: ModuleType) -> bool:
    return cls.__module__ == vars(module).get("__name__")


def _classes(module: ModuleType) -> list[type]:
    return [cls for cls in _subclasses(module) if _is_own(cls, module)]


def _imported(module: ModuleType) -> list[type]:
    """Return the classes that a module imports from files of the user's: not from installed packages."""
    return [cls for cls in _subclasses(module) if _is_users(_home(cls))]


def _home(cls: type) -> str:
    """Return the file that a class is defined in, "" where that is not known."""
    return str(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")


def _is_users(file: str) -> bool:
    return bool(file) and {"site-packages", "dist-packages", "rfcalc"}.isdisjoint(Path(file).parts)


def _hint(target: Target) -> str:
    """Return a hint at the models that a script imports inside of a function; "" for none."""
    if target.path is None or target.path.suffix != ".py":
        return ""
    found = [f"python -m rfcalc {place}" for place in models_imported(target.path, BUILDERS)]
    return f"; it imports one: {_either(found)}" if found else ""


def _candidates(module: ModuleType) -> list[str]:
    held = vars(module)
    names = [name for name in BUILDERS if inspect.isroutine(held.get(name))]
    names += [cls.__name__ for cls in _classes(module) or _imported(module)]
    return list(dict.fromkeys(names + [name for name, value in held.items() if _is_network(value)]))


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
    size = f"@{target.text.rpartition('@')[2]}" if target.given_size else ""
    return f"python -m rfcalc {target.place}:{name}{size}"


def _either(commands: list[str], at_most: int = 5) -> str:
    more = len(commands) - at_most
    return " | ".join(commands[:at_most]) + (f" | and {more} more" if more > 0 else "")


def _given(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _kind(value: object) -> str:
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0] in 'aeioAEIO' else 'a'} {kind}"
