"""Build hook: takes the browser files of other projects out of their wheels, so that none is ever committed.

htmx 2 and its SSE extension come from the ``django-htmx`` wheel, Swagger UI (the API's docs page) from
``fastapi-offline``; both are pinned in ``pyproject.toml`` under ``build-system.requires``. Beside the files lie the licence
texts that wheels carry, and a notice that says whose each file is. The wheel of fastapi-offline has no text of Swagger
UI's own licence (Apache-2.0): that text comes with ``packaging``, which is under the same one.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from importlib.metadata import distribution
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


LICENCES = {
    "django-htmx": ("LICENSE", "LICENSE.django-htmx.txt"),
    "fastapi-offline": ("LICENSE", "LICENSE.fastapi-offline.txt"),
    "packaging": ("LICENSE.APACHE", "LICENSE.Apache-2.0.txt"),
}
"""package → the licence text in its metadata, and what it is called beside the files"""

NOTICE = """\
The files in this folder are the work of others, unchanged.

htmx.min.js                   htmx {htmx}, https://htmx.org, by Big Sky Software
htmx-sse.js                   its extension for server-sent events, https://github.com/bigskysoftware/htmx-extensions
    htmx is under the Zero-Clause BSD licence, by which no text needs to come with it; the extension grew out of it and is by
    the same authors. Taken from the Python package django-htmx {django_htmx}, which packs both: MIT, LICENSE.django-htmx.txt

swagger-ui-bundle.js, .css    Swagger UI {swagger}, https://github.com/swagger-api/swagger-ui, by SmartBear Software
    Apache License 2.0, LICENSE.Apache-2.0.txt. The bundle holds libraries of others under licences of their own; Swagger UI's
    release of that version lists them in swagger-ui-bundle.js.LICENSE.txt.
    Taken from the Python package fastapi-offline {fastapi_offline}, which packs it: MIT, LICENSE.fastapi-offline.txt
"""


def licence(package: str, name: str) -> Path:
    """The licence text of that name in an installed package's metadata."""
    for file in distribution(package).files or ():
        if file.name == name and ".dist-info" in str(file):
            return Path(str(file.locate()))
    raise RuntimeError(f"build: {package} carries no {name}; was its version changed?")


def version_in(file: Path, pattern: str) -> str:
    """The version that a browser file says it has."""
    found = re.search(pattern, file.read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError(f"build: {file.name} no longer says its version; write the notice anew")
    return found[1]


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
        for package, (name, beside) in LICENCES.items():
            shutil.copyfile(licence(package, name), vendor / beside)
        notice = NOTICE.format(
            htmx=version_in(vendor / "htmx.min.js", r'version:"([\d.]+)"'),
            swagger=version_in(vendor / "swagger-ui-bundle.js", r'PACKAGE_VERSION:"([\d.]+)"'),
            django_htmx=distribution("django-htmx").version,
            fastapi_offline=distribution("fastapi-offline").version,
        )
        (vendor / "NOTICE.txt").write_text(notice, encoding="utf-8")
