# streamclf in a container, for amd64 and arm64. docs/how-to/container.md says how to run it, and
# scripts/try_image.py carries these steps out where there is no Docker.

FROM debian:trixie-slim AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY streamclf streamclf
# The package for GPUs, which pyproject.toml takes on amd64, is six times as large, and there is no
# CUDA in this image: here the plain one serves on both.
RUN sed -i 's/"onnxruntime-gpu>/"onnxruntime>/' pyproject.toml \
    && python3 -m venv /opt/streamclf \
    && /opt/streamclf/bin/pip install --no-cache-dir ".[notify]" \
    && /opt/streamclf/bin/pip uninstall --yes pip

FROM debian:trixie-slim AS streamclf
# libasound2-plugins leads ALSA, which PortAudio knows, to PulseAudio and PipeWire.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates libasound2-plugins libportaudio2 python3 tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --groups audio --home-dir /var/lib/streamclf streamclf \
    && install -d -o streamclf -g streamclf /var/lib/streamclf /clips
COPY --from=build /opt/streamclf /opt/streamclf
COPY container/streamclf.toml /etc/streamclf/streamclf.toml
ENV PATH=/opt/streamclf/bin:$PATH \
    HEALTH_URL=http://127.0.0.1:8787/healthz
USER 1000
WORKDIR /var/lib/streamclf
VOLUME ["/var/lib/streamclf", "/clips"]
EXPOSE 8787
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen(os.environ['HEALTH_URL'], timeout=8)"]
ENTRYPOINT ["streamclf"]
CMD ["serve", "--config", "/etc/streamclf/streamclf.toml"]
