"""Serves this folder to this machine: python serve.py [PORT].

With these two headers a browser gives the page threads; any server may send them instead.
"""

import argparse
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LAST_PORT = 65535
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
}


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder, with the headers."""

    extensions_map = {  # noqa: RUF012 - as the class above has it
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Add the headers to each answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serves this folder to this machine.")
    parser.add_argument("port", nargs="?", type=int, default=8000, help="0 for any free one")
    port = parser.parse_args().port
    if not 0 <= port <= LAST_PORT:
        parser.error(f"the port is {port}; expected 0 to {LAST_PORT}")
    server = ThreadingHTTPServer(
        ("127.0.0.1", port), partial(Handler, directory=str(Path(__file__).parent))
    )
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
