"""Where GitHub may send on to for an attachment."""

import pytest

from bot.markdown.assets import serves_assets

GITHUB = "https://github.com"
SERVER = "https://git.example.com"


@pytest.mark.parametrize(
    ("web_url", "url", "expected"),
    [
        pytest.param(GITHUB, "https://github.com/x", True, id="github.com"),
        pytest.param(GITHUB, "https://private-user-images.githubusercontent.com/x?jwt=y", True, id="its content"),
        pytest.param(GITHUB, "https://github-production-user-asset-6210df.s3.amazonaws.com/1/2?X=Y", True, id="bucket"),
        pytest.param(GITHUB, "http://github-production-user-asset-6210df.s3.amazonaws.com/1", False, id="without TLS"),
        pytest.param(GITHUB, "https://evil.s3.amazonaws.com/1", False, id="another bucket"),
        pytest.param(GITHUB, "https://github-production-x.s3.amazonaws.com.example.com/1", False, id="a longer name"),
        pytest.param(GITHUB, "https://a@github-production-x.s3.amazonaws.com/1", False, id="a bucket with a user"),
        pytest.param(GITHUB, "https://githubusercontent.com.example.com/x", False, id="content with a longer name"),
        pytest.param(GITHUB, "https://evilgithubusercontent.com/x", False, id="content with another beginning"),
        pytest.param(GITHUB, "https://gist.github.com/x", False, id="below github.com"),
        pytest.param(SERVER, "https://git.example.com/x", True, id="a server"),
        pytest.param(SERVER, "https://media.git.example.com/x", True, id="a server's media host"),
        pytest.param(SERVER, "https://example.com/x", False, id="above a server"),
        pytest.param(SERVER, "https://github-production-x.s3.amazonaws.com/1", False, id="a bucket, for a server"),
        pytest.param(SERVER, "https://git.example.com:8443/x", False, id="another port"),
        pytest.param(SERVER, "http://git.example.com/x", False, id="a server without TLS"),
    ],
)
def test_where_an_attachment_may_be_asked_for(web_url: str, url: str, *, expected: bool) -> None:
    assert serves_assets(url, web_url) is expected
