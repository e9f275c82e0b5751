# The service in an image; docs/deploy.md says how it is built and run.
#
#   docker build -t mixagent .                                                    for the CPU
#   docker build -t mixagent:cuda --build-arg BASE=ubuntu:24.04 \
#       --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .          for NVIDIA's cards
#
# BASE is any Debian or Ubuntu with Python 3.11 or 3.12: torch's wheels bring CUDA's libraries themselves, and
# the host its driver, so that a base of NVIDIA's own (nvidia/cuda:…-base-ubuntu24.04) fits and is not needed.
ARG BASE=debian:bookworm-slim

# --- wheels into an environment ------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM ${BASE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=serve
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Debian's releases keep one version of a package: a pin would break with the next security fix.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes ca-certificates python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/mixagent
WORKDIR /source
# The dependencies are a layer of their own. antlr4-python3-runtime is pure Python and has no wheel.
COPY deploy/wheels /wheels
COPY deploy/dependencies.py pyproject.toml constraints.txt ./
RUN /opt/mixagent/bin/python dependencies.py pyproject.toml "${EXTRAS}" > /tmp/requirements.txt \
    && /opt/mixagent/bin/pip install --find-links /wheels \
        --only-binary :all: --no-binary antlr4-python3-runtime \
        ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} \
        --constraint constraints.txt --requirement /tmp/requirements.txt "setuptools>=77"
COPY README.md LICENSE ./
COPY LICENSES LICENSES
COPY mixagent mixagent
COPY checkpoints checkpoints
COPY conf conf
COPY envs envs
COPY pipeline pipeline
COPY policies policies
COPY reward reward
RUN /opt/mixagent/bin/pip install --no-deps --no-build-isolation . \
    && /opt/mixagent/bin/pip check \
    && /opt/mixagent/bin/pip uninstall --yes pip
COPY deploy/sbom.py ./

# --- what is run ---------------------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM ${BASE} AS service
ARG BASE
# libatomic1 is pedalboard's; ffmpeg reads m4a and other formats beside those that the wheels read.
ARG SYSTEM_PACKAGES=ffmpeg
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes \
        ca-certificates libatomic1 python3 tini ${SYSTEM_PACKAGES} \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 10001 mixagent \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin mixagent \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/mixagent /opt/mixagent
COPY --from=build /source/sbom.py /tmp/sbom.py
# All packages, Python's and the system's, and the weights, each with its licence and hash (CycloneDX).
RUN /opt/mixagent/bin/python /tmp/sbom.py > /usr/share/mixagent.cdx.json && rm /tmp/sbom.py \
    # What a wheel asks of the system and the base has not is found here, and not by the first song.
    && /opt/mixagent/bin/python -B -c "import mixagent.options, mixagent.session.master, mixagent.service.serving"
# There, so that a volume of compiled kernels may be mounted below /data and belong to the user.
RUN install --directory --owner 10001 --group 10001 --mode 0700 /data/service /data/service/engine

ENV PATH=/opt/mixagent/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    MIXAGENT_DATA=/data \
    MIXAGENT_CACHE=/data/engine \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
LABEL org.opencontainers.image.title="mixagent" \
      org.opencontainers.image.description="Mastering, stems and repair of songs: the page and the service behind it" \
      org.opencontainers.image.licenses="GPL-3.0-or-later" \
      org.opencontainers.image.base.name="${BASE}"
# Nothing but /data and /tmp is written to: run it with --read-only --tmpfs /tmp.
VOLUME /data
USER 10001:10001
EXPOSE 8300
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8300/healthz', timeout=4)"]
ENTRYPOINT ["tini", "-g", "--", "mixagent"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8300", "--no-browser"]
