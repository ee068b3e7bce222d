"""Packaging: name, version, dependencies, extras and entry point stand here and nowhere else."""

from pathlib import Path

from setuptools import find_packages, setup

_KUBEFLOW = ["kfp[kubernetes]>=2.16,<2.17"]

setup(
    name="agnews-pipeline",
    version="0.1.0",
    description="A TFX production pipeline for text classification on AG News",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    # 3.11 is the one version for which every extra resolves (kfp < 3.12, airflow < 3.13).
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=["pipeline*", "components*", "schema*", "serving*"]),
    package_data={
        "pipeline": ["profiles/*.yaml"],
        "pipeline.review": ["templates/*"],
        "pipeline.monitoring": ["templates/*"],
        "components.model_card": ["*.json", "templates/*"],
        "schema": ["*.pbtxt", "model_card.yaml"],
        "serving": ["demo/templates/*.html"],
    },
    install_requires=[
        "tfx==1.21.0",
        "tensorflow==2.21.*",
        # 3.16 stops passing the mask from one Bidirectional layer to the next (keras PR 23235).
        "keras<3.16",
        "tensorboard",
        "tensorflow-transform==1.21.*",
        "tensorflow-model-analysis==0.52.*",
        "apache-beam>=2.70,<2.80",
        "keras-tuner>=1.4",
        "scikit-learn",
        "scipy",
        "pandas",
        # The maintained build of Facebook's archived package: wheels, and NumPy 2.
        "fasttext-numpy2-wheel",
        "pydantic>=2",
        "cryptography",
        "pyyaml",
        "click",
        "docker",
        "rich",
        "httpx",
        "tenacity",
        "filelock",
        "psutil",
        "matplotlib",
        "jinja2",
        "jsonschema",
        "tensorflow-serving-api",
        "grpcio-health-checking",
        "grpcio-reflection",
        "starlette",
        "uvicorn",
        "prometheus-client",
    ],
    extras_require={
        "airflow": ["apache-airflow>=2.11,<3"],
        "kubeflow": _KUBEFLOW,
        "gpu": ["tensorflow[and-cuda]==2.21.*"],
        "dev": [
            *_KUBEFLOW,
            "pytest",
            "pytest-timeout",
            "aiosmtpd",
            "hypothesis",
            "ruff",
            "mypy",
            "types-PyYAML",
            "playwright",
            "check-jsonschema",
            "kubernetes-validate",
            "dockerfile-parse",
        ],
    },
    entry_points={"console_scripts": ["agnews = pipeline.cli:main", "agnews-beam-worker = pipeline.beam_worker:main"]},
)
