// The page follows the thread: what is shown is fetched again and put in place of the old, the form left alone.
const live = document.getElementById("live");
let shown = live?.innerHTML;

async function follow() {
  if (document.hidden) return;
  let text;
  try {
    const answer = await fetch(location.pathname);
    if (!answer.ok) return;
    text = await answer.text();
  } catch {
    return;
  }
  const next = new DOMParser().parseFromString(text, "text/html").getElementById("live");
  if (!next || next.innerHTML === shown) return;
  shown = next.innerHTML;
  const open = [...live.querySelectorAll("details")].map((details) => details.open);
  live.replaceChildren(...next.childNodes);
  [...live.querySelectorAll("details")].forEach((details, at) => {
    if (open[at] !== undefined) details.open = open[at];
  });
}

if (live) setInterval(follow, 1500);
