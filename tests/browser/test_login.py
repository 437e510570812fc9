"""A login, for real: an OpenID Connect provider on this machine, the dashboard behind it, and a browser."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
import uvicorn
from dashboards import Dashboard, free_port, headgate, started
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

PROJECT = Path(__file__).parents[2]
ROLES = "lead=ml-leads,admin=ml-leads,maker=ml-team|data"
AN_HOUR = 3600
SHORT = 20  # long enough to see a page with it, on a busy machine too
expect.set_options(timeout=20_000)


@dataclass
class Provider:
    """Logs in whoever `claims` says, without asking for a password. `lasts` is how long, in seconds."""

    address: str
    claims: dict[str, Any] = field(default_factory=dict)
    lasts: int = AN_HOUR
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "test", "use": "sig"}))
    asked: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.about),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
            ]
        )

    async def about(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.address,
                "authorization_endpoint": f"{self.address}/authorize",
                "token_endpoint": f"{self.address}/token",
                "jwks_uri": f"{self.address}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def authorize(self, request: Request) -> Response:
        code = secrets.token_urlsafe()
        self.asked[code] = dict(request.query_params)
        back = {"code": code, "state": request.query_params["state"]}
        return RedirectResponse(f"{request.query_params['redirect_uri']}?{urlencode(back)}", status_code=302)

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self.asked.pop(form["code"])
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        assert proof.decode() == asked["code_challenge"]
        now = int(time.time())
        claims = {
            "iss": self.address,
            "aud": asked["client_id"],
            "sub": "1",
            "iat": now,
            "exp": now + self.lasts,
            "nonce": asked["nonce"],
            **self.claims,
        }
        signed = jwt.encode({"alg": "RS256", "kid": "test"}, claims, self.key)
        return JSONResponse({"access_token": "none", "token_type": "Bearer", "id_token": signed})

    async def keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    port = free_port()
    provider = Provider(f"http://127.0.0.1:{port}")
    server = uvicorn.Server(uvicorn.Config(provider.app(), host="127.0.0.1", port=port, log_level="warning"))
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    yield provider
    server.should_exit = True
    running.join(timeout=10)


def streamlit(home: Path, log: Path, port: int, *options: str) -> AbstractContextManager[Dashboard]:
    return by_another_program(home, log, port, "streamlit", "run", "app.py", "--server.port", str(port), *options)


def served_by_uvicorn(folder: Path, port: int) -> AbstractContextManager[Dashboard]:
    address = ("--host", "127.0.0.1", "--port", str(port))
    return by_another_program(folder / "home", folder / "log", port, "uvicorn", "app:app", *address)


def by_another_program(home: Path, log: Path, port: int, *program: str) -> AbstractContextManager[Dashboard]:
    command = [sys.executable, "-m", *program]
    return started(command, home, log, port, PROJECT, HEADGATE_ROLES=ROLES, HEADGATE_WORKER="off")


POLICY = """
application.name = "delays"
components.prompts = ["notice"]
stages = [{ name = "production", approvals = 1, self_approval = true }]
"""


@pytest.fixture(scope="module")
def guarded(browser: Any, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """A dashboard with one application, behind the login."""
    folder, port = tmp_path_factory.mktemp("guarded"), free_port()
    (folder / "policy.toml").write_text(POLICY, encoding="utf-8")
    headgate("apply", str(folder / "policy.toml"), home=folder / "home")
    (folder / "secrets.toml").write_text(
        f"""
        [auth]
        redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
        cookie_secret = "{secrets.token_urlsafe(32)}"
        client_id = "headgate"
        client_secret = "{secrets.token_urlsafe(32)}"
        server_metadata_url = "{provider.address}/.well-known/openid-configuration"
        """,
        encoding="utf-8",
    )
    options = ("--secrets.files", str(folder / "secrets.toml"))
    with streamlit(folder / "home", folder / "log", port, *options) as dashboard:
        yield dashboard


def shown(address: str, after: str) -> re.Pattern[str]:
    """An address as the pages show it: a joiner that nobody sees keeps it from becoming a link."""
    return re.compile(re.escape(address).replace("@", "@.?") + re.escape(after))


def log_in(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Log in").click()


def test_nothing_is_drawn_before_the_login_not_even_for_a_deep_link(guarded: Dashboard, page: Page) -> None:
    for path in ("", "/approvals", "/bundle?ref=delays/1", "/application?name=delays"):
        page.goto(guarded.address + path)
        expect(page.get_by_role("heading", name="Log in to see what is delivered.")).to_be_visible()
        expect(page.get_by_role("link", name="Bundles")).to_have_count(0)
        expect(page.get_by_text("delays")).to_have_count(0)


def test_a_group_gives_its_roles_and_the_door_out_works(guarded: Dashboard, provider: Provider, page: Page) -> None:
    provider.lasts = AN_HOUR
    provider.claims = {"email": "Ada@example.org", "name": "Ada", "groups": ["ml-leads", "choir"]}
    log_in(page, guarded.address)
    expect(page.get_by_role("heading", name="Nothing waits for you.")).to_be_visible()
    expect(page.get_by_text("Ada, lead and admin")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Log in to see what is delivered.")).to_be_visible()


def test_who_is_in_no_group_with_a_role_sees_nothing(guarded: Dashboard, provider: Provider, page: Page) -> None:
    provider.lasts = AN_HOUR
    provider.claims = {"email": "eve@example.org", "groups": ["choir"]}
    log_in(page, guarded.address)
    expect(page.get_by_role("heading", name=shown("eve@example.org", " has no role here."))).to_be_visible()
    expect(page.get_by_role("link", name="Bundles")).to_have_count(0)


def test_a_login_that_ends_closes_the_door_although_the_cookie_lives_on(
    guarded: Dashboard, provider: Provider, page: Page
) -> None:
    provider.lasts = SHORT
    provider.claims = {"email": "max@example.org", "groups": ["data"]}
    log_in(page, guarded.address)
    expect(page.get_by_text(shown("max@example.org", ", maker"))).to_be_visible()
    page.wait_for_timeout((SHORT + 1) * 1000)
    page.get_by_role("link", name="Bundles").click()
    expect(page.get_by_role("heading", name="Your login has ended.")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Your login has ended.")).to_be_visible()
    provider.lasts = AN_HOUR
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text(shown("max@example.org", ", maker"))).to_be_visible()


def test_a_forged_cookie_opens_nothing(guarded: Dashboard, page: Page) -> None:
    page.context.add_cookies([{"name": "_streamlit_user", "value": "e30=", "url": guarded.address}])
    page.goto(guarded.address)
    expect(page.get_by_role("heading", name="Log in to see what is delivered.")).to_be_visible()


def test_without_a_login_a_visitor_from_another_machine_is_refused(browser: Any, page: Page, tmp_path: Path) -> None:
    # given a server that another program than `headgate serve` made, and a visitor whom a proxy says to be elsewhere
    port = free_port()
    page.set_extra_http_headers({"X-Forwarded-For": "203.0.113.9"})
    with served_by_uvicorn(tmp_path, port) as dashboard:
        for path in ("", "/approvals"):
            page.goto(dashboard.address + path)
            expect(page.get_by_role("heading", name="This dashboard is closed to other machines.")).to_be_visible()
            expect(page.get_by_role("link", name="Bundles")).to_have_count(0)
        health = urllib.request.urlopen(f"{dashboard.address}/_stcore/health", timeout=5).read()
    assert health == b"ok"


def test_without_a_login_the_person_at_this_machine_comes_in(browser: Any, page: Page, tmp_path: Path) -> None:
    with served_by_uvicorn(tmp_path, free_port()) as dashboard:
        page.goto(dashboard.address)
        expect(page.get_by_role("link", name="Bundles")).to_be_visible()
