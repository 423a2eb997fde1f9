"""How a job of GitHub Actions ended, in the last lines of its log."""

import asyncio
import re

import httpx
import structlog

from bot.github.answers import At
from bot.github.calls import Calls
from bot.github.failures import GitHubFailed
from bot.github.tokens import LOGS

_END_BYTES = 32_000
_LONGEST_BYTES = 20_000_000
_TIMEOUT_SECONDS = 10
_TIMESTAMP = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT[\d:.]+Z ?", re.MULTILINE)
_log = structlog.get_logger(__name__)


class JobLogs:
    """Read where the installation grants `actions: read`; everybody else goes on without."""

    def __init__(self, calls: Calls, http: httpx.AsyncClient) -> None:
        self._calls = calls
        self._http = http

    async def end(self, at: At, job_id: int) -> str:
        """Empty when it cannot be had, for whatever reason: it is a help, and nothing waits for it.

        https://docs.github.com/rest/actions/workflow-jobs#download-job-logs-for-a-workflow-run
        """
        try:
            signed_url = await self._calls.location(at, f"/actions/jobs/{job_id}/logs", scope=LOGS)
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                raw = await self._fetch(signed_url)
        except (GitHubFailed, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            _log.info("job_log.not_read", repo=at.repo.full_name, job=job_id, error=type(error).__name__)
            return ""
        return _TIMESTAMP.sub("", raw.decode(errors="replace")).strip()

    async def _fetch(self, signed_url: str) -> bytes:
        """The last bytes; none of a log whose end is too far. The URL is its own credential: it gets no token."""
        end, length = b"", 0
        async with self._http.stream("GET", signed_url) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                length += len(chunk)
                if length > _LONGEST_BYTES:
                    return b""
                end = (end + chunk)[-_END_BYTES:]
        return end
