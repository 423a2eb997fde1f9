// Keeps the list's states fresh; without it, a reload does.
const EVERY_MS = 5000;

async function refresh() {
  const list = document.getElementById("runs");
  if (document.hidden || list.contains(document.activeElement)) {
    return;
  }
  try {
    const answer = await fetch(location.href);
    if (!answer.ok) {
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("runs");
    if (fresh && !list.isEqualNode(fresh)) {
      list.replaceChildren(...document.adoptNode(fresh).childNodes);
    }
  } catch {
    // The server is away for a moment; the next round asks again.
  }
}

setInterval(refresh, EVERY_MS);
