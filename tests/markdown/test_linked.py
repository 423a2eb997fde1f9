"""Which issues a text names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.markdown import linked_issues

_PAGE = "https://github.example/acme/calc"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("see #12, (#13) and GH-14; again #12", [12, 13, 14], id="short"),
        pytest.param("acme/calc#4 and ACME/Calc#5", [4, 5], id="full"),
        pytest.param("other/calc#4 acme/other#5", [], id="another-repository"),
        pytest.param(f"{_PAGE}/issues/7#issuecomment-3 and <{_PAGE}/pull/8>", [7, 8], id="address"),
        pytest.param(f"[this]({_PAGE}/issues/9)", [9], id="link"),
        pytest.param("https://github.example/acme/other/issues/7", [], id="address-of-another-repository"),
        pytest.param("https://evil.example/acme/calc/issues/7", [], id="address-at-another-site"),
        pytest.param(f"{_PAGE}/discussions/7 {_PAGE}/actions/runs/7", [], id="no-thread"),
        pytest.param("`#1`\n\n    #2\n\n```\n#3\n```\n", [], id="code"),
        pytest.param("a#1 &#35; ##x # 2", [], id="no-reference"),
        pytest.param("- [ ] #1\n\n> #2\n\n<details>\n#3\n</details>", [1, 2, 3], id="blocks"),
        pytest.param(f"#0 #{'9' * 5000} ![#4](x.png) <!-- #5 --> #6", [6], id="odd"),
    ],
)
def test_it_names(text: str, numbers: list[int]) -> None:
    assert linked_issues(text, _PAGE) == numbers


@given(st.text(alphabet="#0123456789aG-/H[]()`<> \n", max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    assert all(0 < number < 10**9 for number in linked_issues(text, _PAGE))
