"""The web application put together: intake, pages, API, live events, health. Storage is reached through the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from tocsin import __version__
from tocsin.engine.engine import Engine
from tocsin.kernel.errors import TocsinError, Unusable, UnusableMany
from tocsin.kernel.redact import mask
from tocsin.web.api import add_api
from tocsin.web.base import Web, problem
from tocsin.web.intake import Intake
from tocsin.web.live import Live
from tocsin.web.pages import Pages

HERE = Path(__file__).parent


def build_app(engine: Engine, *, phone: Any = None, label: str = "") -> FastAPI:
    """The application for one engine. ``label`` is shown on every page (the demonstration says that its clock runs fast)."""
    web = Web(engine, phone=phone, label=label)
    app = FastAPI(
        title="Tocsin", version=__version__, openapi_url="/api/openapi.json", docs_url=None, redoc_url=None
    )

    @app.exception_handler(TocsinError)
    async def refused(request: Request, error: TocsinError) -> Response:
        if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(
            ("/api", "/v2", "/in")
        ):
            return web.page(
                "message.html", request, error.status, title="That did not work", text=mask(error.sentence)
            )
        if isinstance(error, UnusableMany):
            return problem(Unusable(mask(error.sentence), error.faults[0].where))
        return problem(error)

    @app.get("/api/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/api/openapi.json", title="Tocsin API", swagger_js_url="/static/vendor/swagger-ui-bundle.js",
            swagger_css_url="/static/vendor/swagger-ui.css", swagger_favicon_url="/static/icon.svg",
        )  # fmt: skip

    add_api(app, web)
    for part in (Intake(web), Pages(web), Live(web)):
        app.router.routes.extend(part.routes())
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    return app
