# Countersign: one image for the API, the workers and the migrations.
#
# Everything that is installed is pinned by hash in the lock files; nothing is resolved while building.

ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src

# The build tools come from the development lock; they stay in this stage.
COPY requirements.lock requirements.runtime.lock ./
RUN python -m venv /tools && /tools/bin/pip install --require-hashes --requirement requirements.lock
RUN python -m venv /opt/countersign \
    && /opt/countersign/bin/pip install --require-hashes --requirement requirements.runtime.lock

COPY pyproject.toml README.md LICENSE ./
COPY agreements agreements
COPY examples examples
COPY countersign countersign
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/countersign/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/countersign/bin/pip uninstall --yes pip


FROM ${PYTHON}
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent countersign
COPY --from=build /opt/countersign /opt/countersign
# A volume that is mounted here for the first time takes its owner from this.
RUN install --directory --owner=10001 --mode=0700 /attachments
ENV PATH=/opt/countersign/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["countersign"]
CMD ["--help"]
