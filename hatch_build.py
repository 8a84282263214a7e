"""Build hook: takes the browser files of other projects out of their wheels, so that none is ever committed.

htmx 2 and its SSE extension come from the ``django-htmx`` wheel, Swagger UI (the API's docs page) from
``fastapi-offline``; both are pinned in ``pyproject.toml`` under ``build-system.requires``.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def package_folder(name: str) -> Path:
    """The folder an installed package lives in, found without importing it (django-htmx would want Django)."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"build: the package {name} is missing; it is listed under build-system.requires")
    return Path(next(iter(spec.submodule_search_locations)))


def find_one(folder: Path, *names: str) -> Path:
    """The first file below ``folder`` with one of ``names``; says what it looked for when there is none."""
    for name in names:
        found = sorted(folder.rglob(name))
        if found:
            return found[0]
    raise RuntimeError(
        f"build: none of {', '.join(names)} below {folder.name}; was the pinned version changed?"
    )


class CustomBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        vendor = Path(self.root) / "src" / "tocsin" / "web" / "static" / "vendor"
        vendor.mkdir(parents=True, exist_ok=True)
        htmx = package_folder("django_htmx")
        shutil.copyfile(find_one(htmx, "htmx-2.min.js"), vendor / "htmx.min.js")
        shutil.copyfile(find_one(htmx, "hx-sse-2.min.js"), vendor / "htmx-sse.js")
        swagger = package_folder("fastapi_offline")
        for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
            shutil.copyfile(find_one(swagger, name), vendor / name)
