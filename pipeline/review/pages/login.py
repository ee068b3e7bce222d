"""The pages of a log-in through OpenID Connect."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.review.openid import FINISH, LOG_OUT, START, OpenIdLogin
from pipeline.review.site import render


def login_routes(login: OpenIdLogin) -> list[Route]:
    """Returns the routes that a log-in adds to the site."""

    def log_out(request: Request) -> Response:
        """POST `/logout`: ends the session and says where the provider's own session ends."""
        return render(request, "logged_out.html", issuer=login.issuer, address=login.log_out(request))

    return [Route(START, login.start), Route(FINISH, login.finish), Route(LOG_OUT, log_out, methods=["POST"])]
