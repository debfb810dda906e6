# Groundswell in one image; its command picks what runs: every service in one process, as the image does
# by itself (`groundswell run`), or one service in one role (`groundswell serve incidents --role api`).
# A release pins the base by digest: --build-arg PYTHON_IMAGE=python:3.11-slim@sha256:<digest>
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Dependencies before code: a change of code does not install them anew. Wheels only, so nothing is
# compiled and no package's own build script runs.
COPY requirements.txt ./
RUN python -m venv --without-pip /opt/groundswell \
    && pip --python /opt/groundswell/bin/python install \
        --require-hashes --only-binary :all: --requirement requirements.txt
COPY pyproject.toml README.md ./
COPY shared shared
COPY services services
# The lock holds the build backend too. It goes again once the project is built, and `pip check`
# proves that nothing which stays has needed it.
RUN pip --python /opt/groundswell/bin/python install --no-deps --no-build-isolation . \
    && pip --python /opt/groundswell/bin/python uninstall --yes \
        editables hatchling pathspec pluggy tomlkit trove-classifiers \
    && pip --python /opt/groundswell/bin/python check

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Groundswell" \
      org.opencontainers.image.licenses="Apache-2.0"
# No installer stays behind. The numeric owner lets Kubernetes see that it is not root.
RUN python -m pip uninstall --yes --root-user-action ignore pip setuptools wheel \
    && groupadd --gid 10001 groundswell \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin groundswell \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/groundswell /opt/groundswell
# One process is one core: OpenBLAS would start a thread for each core of the whole machine.
ENV PATH=/opt/groundswell/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPENBLAS_NUM_THREADS=1 \
    GROUNDSWELL_DATA=/data \
    GROUNDSWELL_HOST=0.0.0.0 \
    GROUNDSWELL_PORT=8080 \
    GROUNDSWELL_LOG_FORMAT=json
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Proxies are left out: an http_proxy handed to the container must not see the container's own probe.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['GROUNDSWELL_PORT'] + '/readyz', timeout=4)"]
CMD ["groundswell", "run"]
