from tests.support.deploy_files import compose, deploy, manifests, server_flags  # noqa: F401 - fixtures
