"""Runs HTTP servers in a thread of this process."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """Answers requests without writing each to the standard error output."""

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve_http(handler):
    """Yields the URL of a server with this handler on the loopback interface."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, run_server(server):
        yield f"http://127.0.0.1:{server.server_port}/"


@contextlib.contextmanager
def run_server(server):
    """Serves requests in a thread until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
