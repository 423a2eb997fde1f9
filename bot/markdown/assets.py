"""Which addresses are attachments of this GitHub, and which it may send on to for them. No I/O."""

import re
from urllib.parse import SplitResult, urlsplit

_UUID = r"(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_GITHUB = "github.com"
_GITHUB_CONTENT = ".githubusercontent.com"

# On github.com: /user-attachments/assets/<uuid>, and until 2024 /<owner>/<repository>/assets/<number>/<uuid>.
# On Enterprise Server also /storage/user/<number>/files/<uuid>, or on media.<host> without `/storage`.
_ON_WEB_HOST = re.compile(
    rf"/(?:user-attachments/assets|[\w.-]+/[\w.-]+/assets/\d+|(?:storage/)?user/\d+/files)/{_UUID}", re.IGNORECASE
)
# user-images.githubusercontent.com and, with a signature, private-user-images.githubusercontent.com
_ON_CONTENT_HOST = re.compile(rf"/\d+/\d+-{_UUID}(?:\.\w+)?", re.IGNORECASE | re.ASCII)
_BUCKET = re.compile(r"github-production-[a-z0-9-]+\.s3\.amazonaws\.com")


def asset_id(url: str, web_url: str) -> str:
    """The attachment's UUID in lower case; empty when the address is no attachment of the GitHub at `web_url`.

    https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-anonymized-urls
    https://docs.github.com/en/enterprise-server/admin/configuring-settings/hardening-security-for-your-enterprise/enabling-subdomain-isolation
    """
    asked = _on_github(url, web_url)
    if asked is None:
        return ""
    on_content_host = (asked.hostname or "").endswith(_GITHUB_CONTENT)
    match = (_ON_CONTENT_HOST if on_content_host else _ON_WEB_HOST).fullmatch(asked.path)
    return match["uuid"].lower() if match else ""


def serves_assets(url: str, web_url: str) -> bool:
    """Whether the address may be asked for an attachment of the GitHub at `web_url`, which sends on to others."""
    if _on_github(url, web_url) is not None:
        return True
    parts = urlsplit(url)
    in_bucket = parts.scheme == "https" and _BUCKET.fullmatch(parts.netloc.lower())
    return urlsplit(web_url).hostname == _GITHUB and bool(in_bucket)


def _on_github(url: str, web_url: str) -> SplitResult | None:
    """The address in its parts, when it is on this GitHub's hosts, as safe as its pages are."""
    try:
        asked, web = urlsplit(url), urlsplit(web_url)
        same_port = asked.port == web.port
    except ValueError:
        return None
    host, web_host = asked.hostname or "", web.hostname or ""
    if asked.scheme != web.scheme or not same_port or "@" in asked.netloc or not web_host:
        return None
    if web_host == _GITHUB:
        # What is below github.com itself serves no attachments; githubusercontent.com does.
        known = host == _GITHUB or host.endswith(_GITHUB_CONTENT)
    else:
        known = host == web_host or host.endswith(f".{web_host}")
    return asked if known else None
