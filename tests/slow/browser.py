"""A person's browser at a server: cookies, forms and redirects, behind a TLS proxy."""

import re
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

SECONDS = 30


class Browser:
    """Talks as a proxy on this machine does that speaks TLS to the outside."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookies: dict[str, str] = {}
        self.pages: list[str] = []  # everything that was shown

    def get(self, path: str) -> str:
        return self._follow(*self._ask("GET", path))

    def submit(self, path: str, fields: dict[str, str]) -> str:
        """Fill in the form that is shown at a path, and send it."""
        [token, *_] = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', self.get(path))
        return self.send(path, {"csrfmiddlewaretoken": token, **fields})

    def send(self, path: str, fields: dict[str, str]) -> str:
        return self._follow(*self._ask("POST", path, urlencode(fields)))

    def log_in(self, email: str, password: str) -> str:
        fields = {"username": email, "password": password, "next": "/admin/"}
        return self.submit("/admin/login/?next=/admin/", fields)

    def _follow(self, status: int, location: str | None, page: str) -> str:
        self.status = status
        self.pages.append(page)
        if location is None:
            return page
        there = urlsplit(location)
        return self._follow(*self._ask("GET", f"{there.path}?{there.query}"))

    def _ask(
        self, method: str, path: str, body: str | None = None
    ) -> tuple[int, str | None, str]:
        host = f"127.0.0.1:{self._port}"
        headers = {
            "Cookie": "; ".join(f"{name}={it}" for name, it in self.cookies.items()),
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Forwarded-Proto": "https",
            "Origin": f"https://{host}",
            "Referer": f"https://{host}{path}",
        }
        connection = HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            page = answer.read().decode()
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie") or ():
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return answer.status, answer.headers["Location"], page
