"""The page of the API, made from its OpenAPI description; FastAPI's own loads scripts from another host."""

from __future__ import annotations

from html import escape
from typing import Any

_EXAMPLE = """curl -X POST http://localhost:8123/api -H "Content-Type: application/json" \\
     --data '{"url": "https://example.com/dog.jpg"}'
curl -X POST http://localhost:8123/api -F file=@dog.jpg
curl -X POST "http://localhost:8123/v1/predict?explain=1" -H "Content-Type: image/jpeg" \\
     --data-binary @dog.jpg"""


def api_page(openapi: dict[str, Any]) -> str:
    """Return the HTML page of an OpenAPI description."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>{escape(openapi['info']['title'])}: API</title>",
        "<link rel='stylesheet' href='/page.css'><link rel='icon' href='data:,'></head><body><main>",
        f"<h1>{escape(openapi['info']['title'])}</h1><p>{escape(openapi['info'].get('description', ''))}</p>",
        f"<pre>{escape(_EXAMPLE)}</pre>",
        "<p>Errors are <code>application/problem+json</code> (RFC 9457); <code>detail</code> names the way "
        "out. Machines read <a href='/openapi.json'>/openapi.json</a>.</p>",
    ]
    for path, methods in openapi["paths"].items():
        for method, about in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(about.get('description', ''))}</p>")
            parts.append(_table(about))
    return "".join([*parts, "</main></body></html>"])


def _table(about: dict[str, Any]) -> str:
    rows = [
        (f"{each['in']} {each['name']}", escape(str(each.get("schema", {}).get("type", ""))))
        for each in about.get("parameters", [])
    ]
    body = about.get("requestBody", {}).get("content", {})
    if body:
        rows.append(("body", ", ".join(f"<code>{escape(kind)}</code>" for kind in body)))
    for status, answer in about.get("responses", {}).items():
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in answer.get("content", {}))
        rows.append((str(status), f"{escape(answer.get('description', ''))} {kinds}"))
    cells = "".join(f"<tr><th scope='row'>{escape(name)}</th><td>{text}</td></tr>" for name, text in rows)
    return f"<table>{cells}</table>"
