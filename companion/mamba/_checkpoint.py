"""Model checkpoints: safetensors with their configuration and provenance inside, and a readable copy beside."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from companion._files import atomic_path, atomic_write_text
from companion.errors import InputError
from companion.mamba._checks import PRECISIONS

FORMAT_VERSION = 1
_KEY = "companion"  # one key only: safetensors does not promise an order for several

Model = TypeVar("Model", bound=nn.Module)


def write_checkpoint(
    path: str | Path, *, tensors: Mapping[str, Tensor], config: Mapping[str, Any], provenance: Mapping[str, Any]
) -> None:
    """Write tensors with a header of format version, configuration and provenance, each file in one step."""
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {path.name!r}")
    header = {"format_version": FORMAT_VERSION, "config": dict(config), "provenance": dict(provenance)}
    with atomic_path(path) as part:
        metadata = {_KEY: json.dumps(header, sort_keys=True)}
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, part, metadata)
    atomic_write_text(path.with_suffix(".json"), json.dumps(header, indent=2, sort_keys=True) + "\n")


def read_checkpoint(path: str | Path, *, build: Callable[[dict[str, Any]], Model], fields: type, made_by: str) -> Model:
    """Rebuild a model in evaluation mode.

    Parameters
    ----------
    path : path of the *.safetensors file; its header decides, the *.json copy is for people.
    build : makes a model from the stored configuration.
    fields : the dataclass whose fields the configuration must have.
    made_by : the command that makes such a file.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another format, or does not fit the model.
    """
    path, remedy = Path(path), f"train it again with `{made_by}`"
    header, tensors = _read(path, remedy)
    if header.get("format_version") != FORMAT_VERSION:
        version = header.get("format_version")
        raise InputError(f"{path}: format_version is {version!r}, this version reads {FORMAT_VERSION}; {remedy}")
    config = header.get("config")
    known = {field.name for field in dataclasses.fields(fields)}
    optional = {field.name for field in dataclasses.fields(fields) if field.default is None}  # younger than the format
    if not isinstance(config, dict) or set(config) | optional != known:
        odd = sorted((set(config) | optional) ^ known) if isinstance(config, dict) else config
        raise InputError(f"{path}: config has unknown or missing keys {odd}; {remedy}")
    try:
        model = build(config)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: config: {error}; {remedy}") from error
    _fill(model, tensors, path, remedy)
    return model.eval()


def _read(path: Path, remedy: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {remedy}, or give the path of a *.safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: content is not a whole safetensors file ({reason}); {remedy}") from error
    if not isinstance(header, dict):
        raise InputError(f"{path}: metadata has no field {_KEY!r}, so this is not a model of this book; {remedy}")
    return header, tensors


def _fill(model: nn.Module, tensors: Mapping[str, Tensor], path: Path, remedy: str) -> None:
    expected = model.state_dict()
    odd = sorted(set(expected) ^ set(tensors))
    if odd:
        raise InputError(f"{path}: tensor {odd[0]} is unknown or missing; {remedy}")
    dtype = next(iter(tensors.values())).dtype
    if dtype not in PRECISIONS:
        convert = "or load its tensors, convert them with .float() and save them anew"
        raise InputError(f"{path}: tensors are {dtype}, a model computes in float32 or float64; {remedy}, {convert}")
    for name, tensor in tensors.items():
        if tensor.dtype != dtype:
            raise InputError(f"{path}: tensor {name} is {tensor.dtype}, the others are {dtype}; {remedy}")
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, config asks for {tuple(expected[name].shape)}"
            raise InputError(f"{path}: tensor {name} has shape {shapes}; {remedy}")
        if not torch.isfinite(tensor).all():
            raise InputError(f"{path}: tensor {name} holds values that are not finite; {remedy}")
    model.to(dtype).load_state_dict(dict(tensors))
