# The workers and the command line. Models come in as a mounted folder, or in an image built on this one
# (deploy/kubernetes/replay.Dockerfile). The root file system may be read-only: what is written lies in /var/lib/shadowbus
# and /tmp.

FROM python:3.12-slim AS build
RUN python -m venv /opt/shadowbus
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pipeline pipeline
RUN /opt/shadowbus/bin/pip install --constraint constraints.txt '.[worker,models]'

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin shadowbus \
    && install --directory --owner shadowbus --group shadowbus /var/lib/shadowbus /etc/shadowbus
COPY --from=build /opt/shadowbus /opt/shadowbus
ENV PATH=/opt/shadowbus/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SHADOWBUS_CONFIG=/etc/shadowbus/shadow.toml
USER 10001:10001
WORKDIR /var/lib/shadowbus
ENTRYPOINT ["shadowbus"]
CMD ["--help"]
