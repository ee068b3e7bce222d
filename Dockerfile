# The image of Kubeflow's pods and of `agnews` itself. Two variants from one file:
#   docker build --target cpu -t agnews-pipeline:0.2.0 .
#   docker build --target gpu -t agnews-pipeline:0.2.0-gpu .
# trixie has glibc 2.41; TFX's wheels need 2.39. For builds that can be repeated, name the base with its digest.
ARG BASE=python:3.11-slim-trixie

FROM ${BASE} AS builder
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=/opt/venv
# pyfarmhash, which tensorflow-data-validation needs, is published as C++ source alone.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir uv==0.13.9 && python -m venv --without-pip "$VIRTUAL_ENV"

# This project alone; it changes more often than what it needs.
FROM builder AS wheel
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY pipeline pipeline
COPY components components
COPY schema schema
COPY serving serving
RUN uv build --wheel --out-dir /wheels

FROM builder AS packages-cpu
COPY requirements/default.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/uv uv pip install --require-hashes --requirements /requirements/default.txt

FROM packages-cpu AS packages-gpu
COPY requirements/gpu.txt /requirements/
RUN --mount=type=cache,target=/root/.cache/uv uv pip install --require-hashes --requirements /requirements/gpu.txt

FROM packages-cpu AS built-cpu
RUN --mount=from=wheel,source=/wheels,target=/wheels uv pip install --no-deps /wheels/*.whl

FROM packages-gpu AS built-gpu
RUN --mount=from=wheel,source=/wheels,target=/wheels uv pip install --no-deps /wheels/*.whl

# No tools of the build from here on. The user is a number, as Kubernetes' runAsNonRoot asks for.
FROM ${BASE} AS runtime
RUN useradd --create-home --uid 10001 agnews && install --directory --owner=agnews /logs
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /home/agnews
USER 10001
# Kubeflow names its own command; by hand it is `docker run IMAGE run --profile sample`.
ENTRYPOINT ["agnews"]
CMD ["--help"]

FROM runtime AS gpu
COPY --from=built-gpu /opt/venv /opt/venv

FROM runtime AS cpu
COPY --from=built-cpu /opt/venv /opt/venv
