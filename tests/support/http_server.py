"""Runs an HTTP server on the loopback interface."""

import contextlib
import threading
from http.server import ThreadingHTTPServer


@contextlib.contextmanager
def serve_http(handler):
    """Yields the URL of a server with this handler."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
