"""Who may see the page: whoever sits at this machine, or whoever has the token when others can reach it.

A browser carries requests of any site to any address. So requests are answered only under names that are this
machine's, which a site cannot make its own by pointing its name here, and what does something only to this page itself.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket

from aiohttp import web
from yarl import URL

_REFUSED = "this page asks for the token in the address that humanpt printed; open that address"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Doorkeeper:
    """Lets requests in or turns them away."""

    def __init__(self, host: str, token: str | None) -> None:
        """Take the address that is served and the token; where others can reach it and none is given, one is made."""
        self.token = token if token is not None or is_loopback(host) else secrets.token_urlsafe(18)
        name = socket.gethostname().lower()
        self._names = {"localhost", host.lower(), name, f"{name}.local"}

    def check(self, request: web.Request, cookie: str) -> None:
        """Let a request pass that names this machine, comes from its own page and has the token if one is asked for.

        Args:
            request: any request.
            cookie: name of the cookie that holds the token.

        Raises:
            web.HTTPForbidden: with one line that says why, for all others.
            web.HTTPBadRequest: if what has to be looked at is no text.
            web.HTTPSeeOther: to a bare address, with the token in a cookie, where the address held the right token.
        """
        origin, given = request.headers.get("Origin"), request.cookies.get(cookie)
        if not "".join((request.host, origin or "", given or "", request.query.get("token", ""))).isprintable():
            raise web.HTTPBadRequest(text="a header or an address that is no text")
        if not self._is_ours(request.host):
            raise web.HTTPForbidden(text=f"{request.host}: not a name of the machine that serves this page")
        if origin is not None and not _same(origin, request.host):
            raise web.HTTPForbidden(text=f"{origin}: another site; open the page itself")
        if self.token is None or _equal(given, self.token):
            return
        if request.path == "/" and _equal(request.query.get("token"), self.token):
            answer = web.HTTPSeeOther("/")
            answer.set_cookie(cookie, self.token, httponly=True, samesite="Lax", path="/")
            raise answer
        raise web.HTTPForbidden(text=_REFUSED)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this machine; an address of numbers cannot be pointed elsewhere and passes."""
        try:
            name = URL(f"http://{host}").host or ""
        except ValueError:
            return False
        if name.lower() in self._names:
            return True
        try:
            return ipaddress.ip_address(name) is not None
        except ValueError:
            return False


def _same(origin: str, host: str) -> bool:
    return origin.partition("://")[2].lower() == host.lower()


def _equal(given: str | None, token: str) -> bool:
    """Compare in a time that says nothing about where they differ."""
    return given is not None and hmac.compare_digest(given.encode(), token.encode())
