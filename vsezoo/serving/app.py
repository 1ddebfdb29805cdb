"""The service as an ASGI application: its addresses, and what each of them answers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, Form, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from PIL import Image
from starlette.exceptions import HTTPException

from vsezoo.errors import VsezooError
from vsezoo.search.collection import Collection as SearchedCollection
from vsezoo.search.hit import Hit
from vsezoo.serving import messages
from vsezoo.serving.batching import Batcher, BusyError
from vsezoo.serving.engine import Answer, Engine, Question
from vsezoo.serving.guard import COOKIE, Guard, Limits, make_cookie
from vsezoo.serving.messages import DEFAULT_RESULTS, Count, Json, Sentence, Sentences
from vsezoo.serving.pictures import PictureError, PictureShelf, Shown

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
KEEP = "private, max-age=86400, immutable"
"""How long browsers keep pictures; their addresses change when the service starts again."""
SAMPLE = 24
REMEDIES = {
    400: "See /openapi.json for the form of requests.",
    **dict.fromkeys((404, 405), "See /openapi.json for the addresses."),
}


class Service:
    """What answers the requests: the model's thread, the batches that it computes, and the pictures.

    Args:
        engine: the opened collection and its model.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.collection: SearchedCollection = engine.index.collection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.search: Batcher[Question, Answer] = Batcher(engine.answer, self._thread)
        self.embed: Batcher[str | Image.Image, list[float]] = Batcher(engine.embed, self._thread)
        self.pictures = PictureShelf(self.collection)
        self._run = secrets.token_hex(4)

    def close(self) -> None:
        """End the threads."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.pictures.close()

    async def answer(self, asked: messages.Search, upload: UploadFile | None = None) -> Json:
        """Answer a search."""
        sentences = [*([asked.query] if asked.query is not None else []), *asked.plus]
        if not sentences and asked.item is None and upload is None:
            raise HTTPException(422, "The request has nothing to look for: give query, item or plus.")
        item = None if asked.item is None else self.engine.find_item(asked.item)
        async with nullcontext() if upload is None else self.hold(upload) as picture:
            answer = await self.search.ask(Question(tuple(sentences), tuple(asked.minus), item, picture, asked.k))
        found: dict[str, Any] = {"results": [self._describe(hit) for hit in answer.hits]}
        if not answer.knows_words:
            found["note"] = "The model knows none of these words: the results are meaningless."
        return Json(found)

    def hold(self, upload: UploadFile) -> AbstractAsyncContextManager[Image.Image]:
        """Return a context with an uploaded picture, if the model takes pictures."""
        if not self.engine.takes_pictures:
            raise HTTPException(422, f"The model {self.engine.model_name!r} cannot search with pictures.")
        return self.pictures.hold_upload(upload.read)

    def show(self, item: int) -> dict[str, Any]:
        """Describe an image of the collection."""
        shown: dict[str, Any] = {"id": self.collection.label(item), "item": item}
        if self.pictures.has_pictures:
            shown["thumbnail"] = f"thumbnails/{item}?run={self._run}"
            shown["picture"] = f"pictures/{item}?run={self._run}"
        return shown

    def _describe(self, hit: Hit) -> dict[str, Any]:
        return {"rank": hit.rank, "score": hit.score, **self.show(hit.item)}


def create_app(engine: Engine, token: str = "", limits: Limits | None = None) -> FastAPI:
    """Return the application; see docs/serve.md.

    Args:
        engine: the opened collection and its model.
        token: what a request must send; empty: none is needed, and only the names of the loopback are answered to.
        limits: limits on requests; None: the defaults.
    """
    service = Service(engine)

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="vsezoo serve",
        version=version("vsezoo"),
        summary="Search a collection of images by sentences and by images.",
        docs_url=None,  # their scripts and styles come from other servers
        redoc_url=None,
        lifespan=live,
        responses={status: {"model": messages.Problem} for status in (401, 413, 422, 429, 503)},
    )
    app.state.service = service
    app.add_middleware(Guard, token=token, limits=limits or Limits())
    app.add_exception_handler(VsezooError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_refused)
    app.add_exception_handler(Exception, _answer_fault)
    _add_search(app)
    _add_pictures(app)
    _add_page(app, token)
    return app


async def find_service(request: Request) -> Service:  # FastAPI runs what is not async in another thread
    """Return the service of an application."""
    service: Service = request.app.state.service
    return service


Own = Annotated[Service, Depends(find_service)]


async def read_form(
    query: Annotated[Sentence | None, Form()] = None,
    plus: Annotated[Sentences, Form()] = [],  # noqa: B006 (FastAPI copies it)
    minus: Annotated[Sentences, Form()] = [],  # noqa: B006
    k: Annotated[Count, Form()] = DEFAULT_RESULTS,
) -> messages.Search:
    """Return what the fields of a form look for."""
    return messages.Search(query=query, plus=plus, minus=minus, k=k)


def _add_search(app: FastAPI) -> None:
    @app.post("/search", response_model=messages.Results)
    async def search(asked: messages.Search, service: Own) -> Json:
        """Find images by a sentence, by an image of the collection, or by several terms."""
        return await service.answer(asked)

    @app.get("/search", response_model=messages.Results)
    async def search_by_address(asked: Annotated[messages.Search, Query()], service: Own) -> Json:
        """Do the same, with the fields in the address."""
        return await service.answer(asked)

    @app.post("/search/picture", response_model=messages.Results)
    async def search_by_picture(
        picture: Annotated[UploadFile, File()], asked: Annotated[messages.Search, Depends(read_form)], service: Own
    ) -> Json:
        """Find images like an uploaded picture, and further terms."""
        return await service.answer(asked, picture)

    @app.post("/embed", response_model=messages.Vectors)
    async def embed(asked: messages.Texts, service: Own) -> Json:
        """Return the vectors of sentences in the joint space."""
        return _list_vectors(service, [await service.embed.ask(sentence) for sentence in asked.sentences])

    @app.post("/embed/picture", response_model=messages.Vectors)
    async def embed_picture(picture: Annotated[UploadFile, File()], service: Own) -> Json:
        """Return the vector of a picture in the joint space."""
        async with service.hold(picture) as decoded:
            return _list_vectors(service, [await service.embed.ask(decoded)])


def _add_pictures(app: FastAPI) -> None:
    @app.get("/thumbnails/{item}", response_class=Response)
    async def thumbnail(item: int, service: Own) -> Response:
        """Return a small copy of a picture of the collection, as JPEG."""
        return _send(await service.pictures.read_thumbnail(_require_item(service, item)))

    @app.get("/pictures/{item}", response_class=Response)
    async def picture(item: int, service: Own) -> Response:
        """Return a picture of the collection."""
        return _send(await service.pictures.read_whole(_require_item(service, item)))

    @app.get("/sample", response_model=messages.Items)
    async def sample(service: Own, k: Annotated[Count, Query()] = SAMPLE) -> Json:
        """Return images at even distances in the collection."""
        return Json({"items": [service.show(item) for item in service.engine.index.sample(k)]})


def _add_page(app: FastAPI, token: str) -> None:
    for file in (files("vsezoo.serving") / "page").iterdir():
        address = "/" if file.name == "index.html" else f"/page/{file.name}"
        page = _make_page(file.read_bytes(), MEDIA_TYPES[Path(file.name).suffix])
        app.add_api_route(address, page, include_in_schema=False)

    @app.get("/health", response_model=messages.Health)
    async def health() -> Json:
        """Report that the service works; needs no token."""
        return Json({"status": "ok"})

    @app.get("/collection", response_model=messages.Collection)
    async def collection(service: Own) -> Json:
        """Describe what is searched, and what the service can do."""
        engine = service.engine
        return Json(
            {
                "name": service.collection.title,
                "size": len(engine.index),
                "model": engine.model_name,
                "pictures": service.pictures.has_pictures,
                "terms": engine.combines,
                "uploads": engine.takes_pictures,
            }
        )

    @app.post("/session", include_in_schema=False)
    async def session(request: Request) -> Response:
        """Give a browser that has sent the token a cookie in its place: pictures of a page cannot send tokens."""
        answer = Response(status_code=204)
        if token:
            secure = request.url.scheme == "https"
            answer.set_cookie(COOKIE, make_cookie(token), httponly=True, samesite="strict", secure=secure)
        return answer


def _require_item(service: Service, item: int) -> int:
    if not service.engine.index.has(item):
        raise HTTPException(404, f"The collection has no image {item}.")
    return item


def _send(shown: Shown) -> Response:
    headers = {"cache-control": KEEP}
    if shown.file is not None:
        return FileResponse(shown.file, media_type=shown.media_type, headers=headers)
    return Response(shown.content, media_type=shown.media_type, headers=headers)


def _list_vectors(service: Service, vectors: Sequence[list[float]]) -> Json:
    return Json({"model": service.engine.model_name, "vectors": vectors})


def _make_page(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return page


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, VsezooError)
    if isinstance(error, BusyError):
        return _refuse(503, error.problem, error.remedy, {"retry-after": "1"})
    if isinstance(error, PictureError):
        status = 404 if request.method == "GET" else 422
        return _refuse(status, f"{error.file} {error.problem}", error.remedy)
    return _refuse(422, error.problem, error.remedy)  # its file may be a path of the server


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if isinstance(first.get("input"), bytes):  # what does not say that it is JSON is not parsed
        return _refuse(
            422, "The body is not JSON by its Content-Type.", "Send the header Content-Type: application/json."
        )
    name = first["loc"][:2][-1]  # where it is sent, the field, and what is inside it
    reason = first["msg"].removeprefix("Value error, ")
    return _refuse(422, f"{name}: {reason}.", REMEDIES[400])


async def _answer_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    remedy = REMEDIES.get(error.status_code, "")
    return _refuse(error.status_code, error.detail, remedy, error.headers)


async def _answer_fault(request: Request, error: Exception) -> Response:
    return _refuse(500, "The service has failed to answer.", "Its standard error says why.")


def _refuse(status: int, problem: str, remedy: str, headers: Mapping[str, str] | None = None) -> Response:
    return Json({"error": problem, "remedy": remedy}, status, headers)
