"""The routes of the service."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from PIL import Image
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from serve import bodies
from serve.api_page import api_page
from serve.errors import ProblemError
from serve.guard import Guard, problem_response
from serve.service import Answer, Service

_PAGE = Path(__file__).parent / "page"
_KINDS = {"page.css": "text/css", "page.js": "text/javascript"}
_STATUSES = (400, 403, 413, 415, 422, 500, 502, 503, 504)


class ShortAnswer(BaseModel):
    """The likeliest class and its probability, both as text."""

    name: str = Field(serialization_alias="class", examples=["dog"])
    confidence: str = Field(examples=["0.8944258093833923"])


class Share(BaseModel):
    """A class and its probability."""

    name: str = Field(serialization_alias="class", examples=["dog"])
    probability: float = Field(ge=0, le=1)


class ModelFacts(BaseModel):
    """The model that answers."""

    name: str
    version: str = Field(description="Checksum of the weights.")
    engine: str = Field(description="torch or onnxruntime.")
    classes: list[str]
    input_size: tuple[int, int, int] = Field(description="Channels, height, width.")
    dataset: str
    params: int | None
    macs: int | None
    receptive_field: tuple[int, int] | None = Field(description="Height and width in input pixels.")
    val_accuracy: float | None
    test_accuracy: float | None
    fetches: bool = Field(description="Whether URLs are fetched.")
    explains: bool = Field(description="Whether occlusion is computed.")


class Occlusion(BaseModel):
    """By how much the probability falls when a cell of the picture is covered, row by row."""

    drops: list[list[float]]
    seen: str = Field(description="What the network read, as a data: URL of a PNG.")


class LongAnswer(ShortAnswer):
    """The likeliest classes with numbers."""

    probability: float = Field(ge=0, le=1)
    top: list[Share]
    model: dict[str, str] = Field(description="name, version and engine of the model that answered.")
    milliseconds: float = Field(description="Decoding, waiting and computing.")
    occlusion: Occlusion | None = None


class ProblemDetails(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str


_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["url"],
                    "properties": {"url": {"type": "string", "format": "uri"}},
                },
                "example": {"url": "https://example.com/dog.jpg"},
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            **{f"image/{kind}": {} for kind in ("jpeg", "png", "webp", "gif", "bmp")},
        },
    }
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"content": {"application/problem+json": {"schema": ProblemDetails.model_json_schema()}}}
    for status in _STATUSES
}


def create_app(service: Service, started: Callable[[Service], None] = lambda service: None) -> ASGIApp:
    """Return the application.

    Args:
        service: Answers.
        started: Called within the event loop when the service is ready.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            started(service)
            yield

    app = FastAPI(
        title="rfcalc serve",
        version=service.model.version,
        description="A trained network that answers what is on a picture.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load their scripts from another host
        redoc_url=None,
        openapi_url=None,
    )
    _answers(app, service)
    _pages(app)
    _operation(app, service)
    _problems(app)
    return Guard(app, service.metrics, service.settings.hosts)


def _answers(app: FastAPI, service: Service) -> None:
    async def answered(request: Request, *, explain: bool = False) -> Answer:
        with service.limit.enter():
            try:
                async with asyncio.timeout(service.settings.seconds):
                    data = await bodies.picture(request, service.fetcher)
                    return await service.answer(data, explain=explain)
            except TimeoutError:
                raise ProblemError(
                    504,
                    f"no answer within {service.settings.seconds:g} seconds; try again, or a smaller picture",
                ) from None

    @app.post("/api", openapi_extra=_REQUEST, responses=_RESPONSES, response_model=ShortAnswer)
    async def api(request: Request) -> Response:
        """Return the likeliest class of a picture, with its probability as text."""
        name, probability = (await answered(request)).top(1)[0]
        return JSONResponse({"class": name, "confidence": str(probability)})

    @app.post("/v1/predict", openapi_extra=_REQUEST, responses=_RESPONSES, response_model=LongAnswer)
    async def predict(
        request: Request, top: int = Query(5, ge=1, le=1000), explain: bool = Query(False)
    ) -> Response:
        """Return the likeliest classes of a picture, and where the network looked."""
        answer = await answered(request, explain=explain)
        return JSONResponse(long_answer(answer, top))

    @app.get("/v1/model", response_model=ModelFacts)
    async def model() -> Response:
        """Return what is known about the model that answers."""
        offers = {"fetches": service.fetcher is not None, "explains": service.settings.explains}
        return JSONResponse({**service.model.facts, **offers})


def long_answer(answer: Answer, count: int) -> dict[str, Any]:
    """Return the body of `/v1/predict`."""
    shares = answer.top(count)
    name, probability = shares[0]
    facts = answer.model.facts
    found: dict[str, Any] = {
        "class": name,
        "confidence": str(probability),
        "probability": probability,
        "top": [{"class": each, "probability": share} for each, share in shares],
        "model": {key: facts[key] for key in ("name", "version", "engine")},
        "milliseconds": round(1000 * answer.seconds, 2),
    }
    if answer.drops is not None:
        picture = BytesIO()
        Image.fromarray(answer.image).save(picture, "PNG")
        seen = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
        found["occlusion"] = {"drops": answer.drops, "seen": seen}
    return found


def _pages(app: FastAPI) -> None:
    files = {name: (_PAGE / name).read_text(encoding="utf-8") for name in ("index.html", *_KINDS)}

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return HTMLResponse(files["index.html"])

    def add(name: str) -> None:
        @app.get(f"/{name}", include_in_schema=False, name=name)
        async def file() -> Response:
            return Response(files[name], media_type=_KINDS[name])

    for name in _KINDS:
        add(name)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(api_page(app.openapi()))


def _operation(app: FastAPI, service: Service) -> None:
    begun = time.monotonic()

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Return that the process answers."""
        return {"status": "ok"}

    @app.get("/ready", responses={503: _RESPONSES[503]})
    async def ready() -> dict[str, str]:
        """Return whether pictures are answered now."""
        if not service.ready:
            raise ProblemError(503, "the service is starting or ending", {"Retry-After": "1"})
        return {"status": "ready", "model": service.model.trained.name, "version": service.model.version}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return the service's figures as Prometheus reads them."""
        gauges = {
            "requests_inside": service.limit.inside,
            "queue_length": service.batcher.waiting,
            "uptime_seconds": time.monotonic() - begun,
        }
        facts = service.model.facts
        labels = {key: str(facts[key]) for key in ("name", "version", "engine")}
        text = service.metrics.text(gauges, labels)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _problems(app: FastAPI) -> None:
    def add(kind: type[Exception], read: Callable[[Any], ProblemError]) -> None:
        async def handler(request: Request, error: Exception) -> Response:
            return problem_response(read(error))

        handled: Callable[[Request, Exception], Awaitable[Response]] = handler
        app.add_exception_handler(kind, handled)

    add(ProblemError, lambda error: error)
    add(RequestValidationError, _invalid)
    add(HTTPException, _refused)
    add(
        Exception,
        lambda error: ProblemError(500, "the service failed here; its log holds the reason"),
    )


def _invalid(error: RequestValidationError) -> ProblemError:
    first = error.errors()[0]
    return ProblemError(400, f"{first['loc'][-1]}: {first['msg']}")


def _refused(error: HTTPException) -> ProblemError:
    ways_out = {404: "there is no such page; /docs lists what there is", 405: "use POST; /docs shows how"}
    detail = ways_out.get(error.status_code, str(error.detail))
    return ProblemError(error.status_code, detail, error.headers)
