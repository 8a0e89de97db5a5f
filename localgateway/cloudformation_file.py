"""Reads CloudFormation and SAM templates, and merges them as ``chalice package`` does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from localgateway.errors import StartError

# A date is text to CloudFormation: `Version: 2012-10-17`.
_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class TemplateFiles:
    """Template files merged into one, which still knows what came from where."""

    content: Mapping[str, Any]
    parts: Sequence[tuple[Path, Mapping[str, Any]]] = ()

    @classmethod
    def read(cls, paths: Sequence[Path]) -> TemplateFiles:
        """Read files, later ones over earlier ones; raises ``StartError`` that names the file."""
        parts = [(path, _read(path)) for path in paths]
        files = cls(reduce(merge, (part for _, part in parts), {}), parts)
        for section in ("Parameters", "Conditions", "Globals", "Resources"):
            files._object(files.content.get(section, {}), section)
        for section in ("Parameters", "Resources"):
            for name, value in files.content.get(section, {}).items():
                if not name.startswith("Fn::"):
                    path = f"{section}.{name}"
                    members = files._object(value, path)
                    files._object(members.get("Properties", {}), f"{path}.Properties")
        return files

    def where(self, path: str) -> str:
        """Return ``FILE: PATH``; the file is the last one that has what the path leads to."""
        section, _, rest = path.partition(".")
        name = rest.partition(".")[0]
        having = [file for file, part in self.parts if name in (part.get(section) or ())]
        files = having[-1:] or [file for file, _ in self.parts]
        return f"{', '.join(map(str, files))}: {path}"

    def _object(self, value: Any, path: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise StartError(f"{self.where(path)}: it is no object")
        return value


def merge(under: Any, over: Any) -> Any:
    """Return ``over`` on top of ``under``: objects are merged, all else is replaced."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: merge(under.get(key), value) for key, value in over.items()}}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = _parse(path, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise StartError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise StartError(f"{path}: is no template: it has no Resources")
    return content


def _parse(path: Path, text: str) -> Any:
    is_yaml = path.suffix.lower() in {".yaml", ".yml"} or not text.lstrip().startswith("{")
    return _yaml(text) if is_yaml else json.loads(text)


def _yaml(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    loader.yaml_implicit_resolvers = _RESOLVERS
    loader.yaml_multi_constructors = {"!": _function}
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _function(loader: Any, tag: str, node: Any) -> dict[str, Any]:
    """Return what a short tag stands for: ``!GetAtt a.b`` is ``{"Fn::GetAtt": ["a", "b"]}``."""
    name = tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    text = loader.construct_scalar(node)
    return {name: text.split(".", 1) if tag == "GetAtt" else text}
