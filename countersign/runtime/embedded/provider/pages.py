"""The pages on which people sign in: plain HTML without scripts, every word from elsewhere escaped."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final
from urllib.parse import urlsplit

from fastapi.responses import HTMLResponse

from countersign.runtime.embedded.identity import Issuer, Person
from countersign.runtime.embedded.provider.sign_ins import Page

_STYLE: Final = """
:root{color-scheme:light dark;font:100%/1.5 system-ui,sans-serif}
body{max-width:32rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25}
fieldset{border:1px solid;border-radius:.25rem;margin:0 0 1rem;padding:.5rem 1rem}
.choice{display:block;padding:.25rem 0}
.field{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.5rem;margin:.25rem 0 1rem}
.code{font:1.5rem/1.5 ui-monospace,monospace;letter-spacing:.1em}
.problem{border-inline-start:.25rem solid #b00020;padding:.25rem 1rem}
button{font:inherit;padding:.5rem 1rem;margin:0 .5rem .5rem 0;min-height:2.75rem}
:focus-visible{outline:3px solid Highlight;outline-offset:2px}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def sign_in(
    issuer: Issuer, page: Page, *, chosen: str | None = None, problem: str | None = None
) -> HTMLResponse:
    """Who signs in, and their password. For a device, its code as well, to be compared."""
    client = escape(page.asked.client.title)
    people = "".join(_choice(person, chosen or page.asked.hint) for person in issuer.person)
    says = f"<p>{client} wants to know who you are.</p>"
    if page.device is not None:
        says = f"""<p>{client} wants to know who you are, on another screen or in a terminal. Go on only if it shows
this very code, and if it was you who began there:</p>
<p class="code">{escape(page.device.user_code)}</p>"""
    wrong = ' aria-invalid="true" aria-describedby="problem"' if problem else ""
    body = f"""{_problem(problem)}{says}
<form method="post" action="sign-in">
<input type="hidden" name="page" value="{escape(page.id)}">
<fieldset><legend>Who are you?</legend>{people}</fieldset>
<label for="password">Password of this system</label>
<input class="field" id="password" name="password" type="password" autocomplete="current-password" required{wrong}>
<button name="answer" value="allow">Sign in</button>
<button name="answer" value="refuse" formnovalidate>Do not sign in</button>
</form>
<p>These people do not exist. They all have one password: <code>countersign token --password</code> prints it.</p>"""
    status = 403 if problem else 200
    return _page(f"Sign in: {issuer.title}", body, problem, status=status, goes_to=page.asked.redirect_uri)


def device(
    issuer: Issuer, *, user_code: str = "", problem: str | None = None, status: int = 200
) -> HTMLResponse:
    """The code that another screen or a terminal shows."""
    wrong = ' aria-invalid="true" aria-describedby="problem"' if problem else ""
    body = f"""{_problem(problem)}
<form method="post" action="device">
<label for="user_code">The code that the other screen or the terminal shows</label>
<input class="field code" id="user_code" name="user_code" value="{escape(user_code)}" maxlength="20" required
 autocomplete="off" autocapitalize="characters" spellcheck="false"{wrong}>
<button>Go on</button>
</form>"""
    return _page(f"Sign in with a code: {issuer.title}", body, problem, status=status)


def said(title: str, text: str, *, status: int = 200) -> HTMLResponse:
    """A page that says something and asks nothing."""
    return _page(title, f"<p>{escape(text)}</p>", None, status=status)


def _choice(person: Person, chosen: str | None) -> str:
    handle, checked = escape(person.handle), " checked" if person.handle == chosen else ""
    offices = "".join(f", {escape(one.replace('_', ' '))}" for one in person.offices)
    return (
        f'<label class="choice"><input type="radio" name="who" value="{handle}" required{checked}> '
        f"{escape(person.name)} ({handle}{offices})</label>"
    )


def _problem(problem: str | None) -> str:
    return f'<p class="problem" id="problem" role="alert">{escape(problem)}</p>' if problem else ""


def _page(
    title: str, body: str, problem: str | None, *, status: int, goes_to: str | None = None
) -> HTMLResponse:
    text = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{"Error: " if problem else ""}{escape(title)}</title>
<style>{_STYLE}</style></head>
<body><main><h1>{escape(title)}</h1>
{body}
</main></body>
</html>
"""
    return HTMLResponse(text, status, headers=_headers(goes_to))


def _headers(goes_to: str | None) -> dict[str, str]:
    """Nothing is loaded, and the form goes here; whoever takes it sends the browser on, which is held against the same
    rule (Content Security Policy 3, 6.4.1).
    """
    form = "'self'"
    if goes_to is not None:
        parts = urlsplit(goes_to)
        # A source of that grammar has no address in brackets.
        form += f" {parts.scheme}:" if ":" in (parts.hostname or "") else f" {parts.scheme}://{parts.netloc}"
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {form};"
        " frame-ancestors 'none'; base-uri 'none'",
        # With less of it a browser would not say that the form comes from here.
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
