"""Rules of every response and request: headers, size of bodies, same origin."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 64 * 1024
MAX_UPLOAD_BYTES = 4 * 1024 * 1024
UPLOADS = "/organizer/upload"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; form-action 'self' https://www.mturk.com "
    "https://workersandbox.mturk.com; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer a form's Origin would be null
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SecurityMiddleware:
    """Add the headers, refuse large bodies, and refuse changes that another site's page requests.

    Args:
        uploads: path whose bodies may be larger.
    """

    def __init__(
        self, app: ASGIApp, *, origins: tuple[str, ...] = (), secure: bool = False, uploads: str = UPLOADS
    ) -> None:
        self.app, self.origins, self.secure, self.uploads = app, origins, secure, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        respond = self._with_headers(scope["path"], send)
        if scope["method"] not in SAFE_METHODS and not _is_same_origin(headers, self.origins):
            await _refuse(403, "request of another site")(scope, receive, respond)
            return
        limit = MAX_UPLOAD_BYTES if scope["path"] == self.uploads else MAX_BODY_BYTES
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            await _refuse(413, f"at most {limit} bytes")(scope, receive, respond)
            return
        await self.app(scope, _limited(receive, limit), respond)

    def _with_headers(self, path: str, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-cache" if path.startswith("/static/") else "no-store")
                if self.secure:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        return send_with_headers


class BodyTooLargeError(Exception):
    """A body without a length that turned out to be larger than the limit."""


def _limited(receive: Receive, limit: int) -> Callable[[], Awaitable[Message]]:
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise BodyTooLargeError
        return message

    return receive_limited


def _is_same_origin(headers: Headers, origins: tuple[str, ...]) -> bool:
    """Return whether a browser's page of this server, or a program that is no browser, sent a request."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    return origin in origins or urlsplit(origin).netloc == headers.get("host")


def _refuse(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status_code=status)
