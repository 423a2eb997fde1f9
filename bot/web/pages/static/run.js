// Follows a run that goes on: the page is made on the server, so news means a fresh copy of its log.
"use strict";
const main = document.querySelector("main[data-run]");
if (main && main.dataset.finished === "false") {
  const source = new EventSource(`/api/runs/${main.dataset.run}/events?after=${main.dataset.last}`);
  let refreshing = false;
  let again = false;
  const refresh = async () => {
    if (refreshing) { again = true; return; }
    refreshing = true;
    do {
      again = false;
      const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
      for (const part of [".state", ".facts"]) document.querySelector(part).replaceWith(page.querySelector(part));
      const log = document.querySelector(".log");
      for (const entry of page.querySelectorAll(".event")) if (!document.getElementById(entry.id)) log.append(entry);
      if (page.querySelector("main").dataset.finished === "true") {
        source.close();
        document.getElementById("live")?.remove();
      }
    } while (again);
    refreshing = false;
  };
  source.onmessage = refresh;
}
