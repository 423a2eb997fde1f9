"""Which images a text shows, which of them are attachments, and text put in their place."""

import pytest

from bot.markdown.images import Reference, references, replaced

GITHUB = "https://github.com"
SERVER = "https://git.example.com"
UUID = "118fe7ba-c0fd-459c-ad2c-12c5afba05ef"
OTHER_UUID = "3ce43b3a-a5e6-4688-a6c1-894865caecf3"
URL = f"{GITHUB}/user-attachments/assets/{UUID}"
OTHER = f"{GITHUB}/user-attachments/assets/{OTHER_UUID}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"![shot]({URL})", id="markdown"),
        pytest.param(f'<img width="600" alt="shot" src="{URL}">', id="tag"),
        pytest.param(f"<img src='{URL}' />", id="tag with single quotes"),
        pytest.param(f"see <IMG SRC={URL}> there", id="tag in a line, unquoted"),
        pytest.param(f'<details>\n<p>\n<img\n  alt="shot"\n  src="{URL}"\n/>\n</p>\n</details>', id="tag in a block"),
        pytest.param(f"[![shot]({URL})](https://example.com)", id="in a link"),
        pytest.param(f"![shot][1]\n\n[1]: {URL} 'title'", id="by reference"),
        pytest.param(f"> * ![]({URL})", id="in a quote and a list"),
        pytest.param(f"| a | b |\n|---|---|\n| x | ![]({URL}) |", id="in a table"),
        pytest.param(f"<!-- a comment -->\n\n![]({URL})", id="after a comment"),
        pytest.param(f"<p><!-- begun\n\nhidden\n\n<p>ended -->\n\n![]({URL})", id="after a long comment"),
        pytest.param(f"![]({URL}) and again ![]({URL})", id="twice"),
    ],
)
def test_an_image_that_people_see_is_found(text: str) -> None:
    assert references(text, GITHUB) == [Reference(URL, UUID)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"```\n![]({URL})\n```", id="code block"),
        pytest.param(f"    ![]({URL})\n", id="indented code"),
        pytest.param(f"> ```\n> ![]({URL})\n> ```", id="code in a quote"),
        pytest.param(f"`![]({URL})` and `<img src={URL}>`", id="code in a line"),
        pytest.param(f"<!-- ![]({URL}) <img src='{URL}'> -->", id="comment"),
        pytest.param(f"a <!-- <img src='{URL}'> --> b", id="comment in a line"),
        pytest.param(f"<p><!--\n\n![]({URL})\n\n<img src='{URL}'>\n\n--></p>", id="comment over blocks"),
        pytest.param(f"\\![]({URL})", id="escaped"),
        pytest.param(URL, id="bare link"),
        pytest.param(f"[shot]({URL})", id="link"),
        pytest.param("<img>", id="tag without an address"),
    ],
)
def test_what_people_do_not_see_as_an_image_is_none(text: str) -> None:
    assert references(text, GITHUB) == []


def test_images_are_found_in_order() -> None:
    text = f"![]({OTHER})\n\n<img src='{URL}'>\n\n![](https://images.example.com/x.png)"
    assert references(text, GITHUB) == [
        Reference(OTHER, OTHER_UUID),
        Reference(URL, UUID),
        Reference("https://images.example.com/x.png", ""),
    ]


@pytest.mark.parametrize(
    ("web_url", "url"),
    [
        pytest.param(GITHUB, f"{GITHUB}/acme/widgets/assets/1237528/{UUID}", id="of a repository"),
        pytest.param(GITHUB, f"https://user-images.githubusercontent.com/1188925/23309-{UUID}.png", id="old"),
        pytest.param(
            GITHUB, f"https://private-user-images.githubusercontent.com/1/2-{UUID.upper()}.png?jwt=x.y.z", id="signed"
        ),
        pytest.param(SERVER, f"{SERVER}/user-attachments/assets/{UUID}", id="on a server"),
        pytest.param(SERVER, f"{SERVER}/storage/user/5/files/{UUID}", id="in a server's storage"),
        pytest.param(SERVER, f"https://media.git.example.com/user/5/files/{UUID}", id="on a server's media host"),
        pytest.param(f"{SERVER}:8443", f"{SERVER}:8443/user-attachments/assets/{UUID}", id="on another port"),
    ],
)
def test_an_attachment_of_this_github(web_url: str, url: str) -> None:
    assert references(f"![]({url})", web_url) == [Reference(url, UUID)]


@pytest.mark.parametrize(
    ("web_url", "url"),
    [
        pytest.param(GITHUB, f"https://images.example.com/user-attachments/assets/{UUID}", id="another host"),
        pytest.param(GITHUB, f"https://github.com.example.com/user-attachments/assets/{UUID}", id="a longer name"),
        pytest.param(GITHUB, f"https://github.com@example.com/user-attachments/assets/{UUID}", id="a user's name"),
        pytest.param(GITHUB, f"https://a:b@github.com/user-attachments/assets/{UUID}", id="a password"),
        pytest.param(GITHUB, f"http://github.com/user-attachments/assets/{UUID}", id="without TLS"),
        pytest.param(GITHUB, f"https://github.com:444/user-attachments/assets/{UUID}", id="another port"),
        pytest.param(GITHUB, f"https://github.com:x/user-attachments/assets/{UUID}", id="no port"),
        pytest.param(GITHUB, f"https://raw.githubusercontent.com/acme/widgets/main/{UUID}.png", id="a file"),
        pytest.param(GITHUB, f"https://github.com/acme/widgets/raw/main/{UUID}", id="a file of a repository"),
        pytest.param(GITHUB, "https://github.com/user-attachments/files/29481762/shot.png", id="not an image"),
        pytest.param(GITHUB, f"/user-attachments/assets/{UUID}", id="without a host"),
        pytest.param(SERVER, URL, id="github.com, for a server"),
        pytest.param(SERVER, f"https://user-images.githubusercontent.com/1/2-{UUID}.png", id="its images, too"),
        pytest.param(SERVER, f"https://evilgit.example.com/user-attachments/assets/{UUID}", id="a name that ends so"),
    ],
)
def test_no_attachment_of_this_github(web_url: str, url: str) -> None:
    assert [found.asset for found in references(f"![]({url})", web_url)] == [""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"a ![alt\ntext]({URL} 'title') b", "a IMAGE b", id="markdown over lines"),
        pytest.param(f'<img alt="x"\r\n src="{URL}">\r\n\r\nb', "IMAGE\r\n\r\nb", id="tag over lines"),
        pytest.param(f"`![]({URL})` ![]({URL})", f"`![]({URL})` IMAGE", id="code is left"),
        pytest.param(f"> 1. a\n>    ![x]({URL})\n>    c", "> 1. a\n>    IMAGE\n>    c", id="quote and list"),
        pytest.param(f"> ![x\n> y]({URL}) z", "> IMAGE z", id="over lines of a quote"),
        pytest.param(
            f"| x | x |\n|-|-|\n| ![]({URL}) | ![]({URL}) |", "| x | x |\n|-|-|\n| IMAGE | IMAGE |", id="table"
        ),
        pytest.param(f"## ![]({URL}) ##", "## IMAGE ##", id="heading"),
        pytest.param(f"[![]({URL})](https://example.com)", "[IMAGE](https://example.com)", id="link"),
        pytest.param(f"![a][b]\n\n[b]: {URL}", f"IMAGE\n\n[b]: {URL}", id="by reference"),
        pytest.param(f"\0\r![]({URL})\rb", "\0\rIMAGE\rb", id="old line ends"),
        pytest.param(f"\t<p>\n\n- a\n\n  \t<p><img src='{URL}'>", "\t<p>\n\n- a\n\n  \t<p>IMAGE", id="tabs"),
        pytest.param(f"![]({OTHER})", f"![]({OTHER})", id="not asked for"),
    ],
)
def test_an_image_is_replaced_with_all_of_its_markup(text: str, expected: str) -> None:
    assert replaced(text, {URL: "IMAGE"}) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<p><!--\n\n" + "<a> " * 16_000, id="tags in a comment without an end"),
        pytest.param("![" * 32_000, id="images begun"),
        pytest.param("<img " * 13_000, id="tags begun"),
        pytest.param("<p>\n" + "<!" * 30_000, id="declarations begun"),
        pytest.param("![](a)" * 10_000, id="images"),
        pytest.param("| a " * 30 + "\n" + "|-" * 30 + "\n" + "|![](a)" * 8_000, id="wide table"),
    ],
)
@pytest.mark.timeout(20)
def test_hostile_text_is_read_in_good_time(text: str) -> None:
    assert len(references(text, GITHUB)) <= 1
