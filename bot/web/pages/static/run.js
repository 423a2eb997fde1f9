// Follows a run that goes on: events ring, and what changed comes from the server as the markup of the page itself.
const place = document.getElementById("run");
const log = document.getElementById("log");
const MOST_SHOWN = 600;
const REST_MS = 400;
const AGAIN_MS = 5000;

function follow() {
  const source = new EventSource(`/api/runs/${place.dataset.run}/events?after=${place.dataset.last}`);
  let busy = false;
  let rung = false;

  async function refresh() {
    if (busy) {
      rung = true;
      return;
    }
    busy = true;
    try {
      do {
        rung = false;
        while (await take(source));
        // Many events in a row are one look.
        await new Promise((go) => setTimeout(go, REST_MS));
      } while (rung);
    } catch {
      rung = false; // The connection is away; the stream comes back by itself, and rings.
    } finally {
      busy = false;
    }
  }

  source.onmessage = () => requestAnimationFrame(refresh);
  source.onopen = refresh;
  source.onerror = () => {
    // After an answer that is no stream, such as a proxy's while the server restarts, browsers try no more.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(follow, AGAIN_MS);
    }
  };
}

// One look: whether there is more behind it.
async function take(source) {
  const answer = await fetch(`/runs/${place.dataset.run}/news?after=${place.dataset.last}`);
  if (!answer.ok) {
    return false;
  }
  const news = new DOMParser().parseFromString(await answer.text(), "text/html");
  const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 40;
  for (const id of ["head", "progress", "final"]) {
    renew(document.getElementById(id), news.getElementById(id));
  }
  const entries = [...news.querySelectorAll(".event")].filter((entry) => !document.getElementById(entry.id));
  log.append(...entries.map((entry) => document.adoptNode(entry)));
  leaveOut(log.children.length - MOST_SHOWN);
  const run = news.getElementById("run");
  const more = run.dataset.more === "true";
  place.dataset.last = run.dataset.last;
  if (run.dataset.finished === "true" && !more) {
    source.close();
    document.getElementById("live")?.remove();
  }
  if (atEnd && window.scrollY > 0) {
    window.scrollTo(0, document.documentElement.scrollHeight);
  }
  return more;
}

// The oldest entries of the page; they stay to be had behind the link above them.
function leaveOut(many) {
  if (many <= 0) {
    return;
  }
  const before = log.children[many].id.replace("event-", "");
  for (const entry of [...log.children].slice(0, many)) {
    entry.remove();
  }
  const earlier = document.getElementById("earlier");
  earlier.firstElementChild.href = `/runs/${place.dataset.run}?before=${before}`;
  earlier.hidden = false;
}

function renew(old, fresh) {
  // What did not change stays, so that neither focus nor a screen reader is disturbed.
  if (!old || !fresh || old.isEqualNode(fresh)) {
    return;
  }
  const oldState = old.querySelector("[role=status]");
  const freshState = fresh.querySelector("[role=status]");
  const focused = old.contains(document.activeElement) ? document.activeElement.textContent : null;
  if (oldState && freshState) {
    if (oldState.textContent !== freshState.textContent) {
      oldState.className = freshState.className;
      oldState.textContent = freshState.textContent;
    }
    freshState.replaceWith(oldState);
  }
  old.replaceChildren(...document.adoptNode(fresh).childNodes);
  if (focused) {
    [...old.querySelectorAll("button, a")].find((one) => one.textContent === focused)?.focus();
  }
}

if (place && place.dataset.finished === "false" && place.dataset.past === "false") {
  follow();
}
