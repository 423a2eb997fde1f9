FROM python:3.12-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/backspace
COPY requirements-run.lock ./
RUN /opt/backspace/bin/pip install --no-cache-dir --require-hashes -r requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY bot ./bot
RUN /opt/backspace/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

# This image's SQLite is 3.40, older than the durable engine expects; bot/runs/database.py makes up for it.
FROM python:3.12-slim-bookworm
# git clones and publishes; tini reaps what a sandbox leaves when its worker is process 1. bwrap comes with the lock.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git tini \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home --home-dir /var/lib/backspace backspace
COPY --from=build /opt/backspace /opt/backspace
ENV PATH=/opt/backspace/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BACKSPACE_HOME=/var/lib/backspace \
    BACKSPACE_HOST=0.0.0.0 \
    BACKSPACE_PORT=8000 \
    BACKSPACE_LOG=json
USER backspace
WORKDIR /var/lib/backspace
VOLUME /var/lib/backspace
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"BACKSPACE_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--", "backspace"]
CMD ["serve"]
