"""Notes whatever a page complains of, in its console or to the network."""

from collections.abc import Collection

from playwright.sync_api import ConsoleMessage, Page, Request, Response

# The console repeats what is known of an answer better from the answer itself.
OF_ANSWERS = "Failed to load resource"
# What the browser says of a page that turns out to be a file to keep, and of an icon
# that it no longer wants, as the reader has gone on.
IS_DROPPED = "net::ERR_ABORTED"
ICON = "/static/icon.svg"
# The console tells of it as well, but for scripts that listen as we do.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.effectiveDirective} forbids ${event.blockedURI}`);
});
"""


class Watch:
    """Of a page, from its making on. `allowed` are statuses that pages may have."""

    def __init__(self, page: Page, allowed: Collection[int] = ()) -> None:
        self.complaints: list[str] = []
        self._allowed = allowed
        page.add_init_script(TELL_VIOLATIONS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note("script", str(error)))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _note(self, what: str, told: str) -> None:
        self.complaints.append(f"{what}: {told}")

    def _console(self, message: ConsoleMessage) -> None:
        is_worth = message.type in {"error", "warning"}
        if is_worth and not message.text.startswith(OF_ANSWERS):
            self._note(f"console {message.type}", message.text)

    def _failed(self, request: Request) -> None:
        may_be_dropped = request.is_navigation_request() or request.url.endswith(ICON)
        if not (may_be_dropped and request.failure == IS_DROPPED):
            self._note("request", f"{request.url} failed: {request.failure}")

    def _answered(self, response: Response) -> None:
        is_page = response.request.is_navigation_request()
        if response.status >= 400 and not (
            is_page and response.status in self._allowed
        ):
            self._note("answer", f"{response.status} of {response.url}")
