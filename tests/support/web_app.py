"""Serves a web application in a thread of this process."""

import contextlib
import threading

from serving.listening import listen
from serving.web import web_server


@contextlib.contextmanager
def serve_app(app, listening=None):
    """Serves an application on a socket, or on a free port of the loopback interface; yields its URL."""
    with listening or listen("127.0.0.1", 0, "") as listening:
        web = web_server(app)
        thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            web.should_exit = True
            thread.join(timeout=20)
        assert not thread.is_alive()
