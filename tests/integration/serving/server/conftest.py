"""A server with four versions of three models."""

import gc

import pytest

from tests.support.model_servers import serving


@pytest.fixture(scope="module")
def served(tmp_path_factory, text_models, plain_model, case_model):
    """A server for tests that only send requests: agnews versions 1 (World) and 2 (Sports), plain 7 and cases 1."""
    root = tmp_path_factory.mktemp("served")
    for model, version, source in (
        ("agnews", 1, text_models["World"]),
        ("agnews", 2, text_models["Sports"]),
        ("plain", 7, plain_model),
        ("cases", 1, case_model),
    ):
        (root / model).mkdir(exist_ok=True)
        (root / model / str(version)).symlink_to(source)
    config = root / "models.config"
    config.write_text(
        f"""model_config_list {{
          config {{ name: "agnews" base_path: "{root}/agnews" model_platform: "tensorflow"
            model_version_policy {{ all {{}} }}
            version_labels {{ key: "stable" value: 1 }} version_labels {{ key: "canary" value: 2 }} }}
          config {{ name: "plain" base_path: "{root}/plain" model_platform: "tensorflow" }}
          config {{ name: "cases" base_path: "{root}/cases" model_platform: "tensorflow" }}
        }}"""
    )
    with serving(model_config_file=str(config), allow_version_labels_for_unavailable_models=True) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def _freeze_imports():
    """Excludes imported modules from garbage collection, as the server process does."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
