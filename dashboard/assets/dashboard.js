// SPDX-License-Identifier: Apache-2.0

// Every page works without this. With it times are local, things can be copied,
// and a page follows what happens.
"use strict";

// Times: local where a moment is shown, in the same words as the server's
// elsewhere; UTC on hover.
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function ago(at, now) {
  const past = (now - at) / 1000;
  const seconds = Math.abs(past);
  if (seconds < 1) return "now";
  let words;
  if (seconds < 60) words = `${Math.floor(seconds)} s`;
  else if (seconds < 3600) words = `${Math.floor(seconds / 60)} min`;
  else if (seconds < 48 * 3600) words = `${Math.floor(seconds / 3600)} h`;
  else words = `${Math.floor(seconds / 86400)} d`;
  return past < 0 ? `in ${words}` : `${words} ago`;
}

function showTimes(root) {
  const now = Date.now();
  for (const element of root.querySelectorAll("time")) {
    const at = new Date(element.dateTime);
    const local = moment.format(at);
    const words = "relative" in element.dataset ? ago(at, now) : local;
    if (element.textContent !== words) element.textContent = words;
    if (!element.dataset.utc) {
      element.dataset.utc = element.title;
      if ("relative" in element.dataset) element.title = `${local} (${element.title})`;
    }
  }
}

// Copying.
function prepareCopying(root) {
  for (const button of root.querySelectorAll("button.copy[hidden]")) {
    button.hidden = false;
    const words = button.textContent;
    button.addEventListener("click", async () => {
      try {
        const source = button.dataset.copyFrom;
        const text = source ? await (await fetch(source)).text() : document.getElementById(button.dataset.copy).textContent;
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
        announce("Copied");
      } catch {
        button.textContent = "Select and copy it by hand";
      }
      setTimeout(() => { button.textContent = words; }, 2500);
    });
  }
}

function announce(text) {
  document.getElementById("announce").textContent = text;
}

// Following. A stream says that the page is out of date; then the page fetches
// itself and takes over the parts that differ. Hidden pages wait.
const following = { source: null, timer: 0, refused: 0, fetching: false, again: false };

async function refresh() {
  if (following.fetching || document.hidden) {
    following.again = true;
    return;
  }
  following.fetching = true;
  following.again = false;
  const began = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
    if (answer.status === 401) {
      stopFollowing("Signed out");
      return;
    }
    if (answer.ok) takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    // The next message or the timer tries again.
  } finally {
    following.fetching = false;
    // A page that is slow to come is asked for less often.
    if (following.again) setTimeout(refresh, Math.max(1000, 5 * (performance.now() - began)));
  }
}

function takeOver(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const other = fresh.getElementById(part.id);
    if (!other || fingerprint(other) === sources.get(part.id)) continue;
    sources.set(part.id, fingerprint(other));
    const focused = part.contains(document.activeElement) ? keyOf(document.activeElement) : "";
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    const said = part.querySelector("[data-announce]")?.textContent.trim();
    const scrolled = [...part.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
    part.replaceChildren(...[...other.childNodes].map((node) => document.importNode(node, true)));
    [...part.querySelectorAll("details")].forEach((details, i) => { if (open[i] !== undefined) details.open = open[i]; });
    [...part.querySelectorAll(".scroll")].forEach((box, i) => { if (scrolled[i]) [box.scrollLeft, box.scrollTop] = scrolled[i]; });
    showTimes(part);
    prepareCopying(part);
    const says = part.querySelector("[data-announce]");
    if (says && says.textContent.trim() !== said) {
      announce(`${says.dataset.announce} ${says.textContent.trim()}`);
      says.classList.add("changed");
    }
    if (focused) find(part, focused)?.focus({ preventScroll: true });
  }
}

// What each part was made from. How long ago something was is no difference.
const sources = new Map();

function fingerprint(part) {
  return part.outerHTML.replace(/(<time[^>]*>)[^<]*/g, "$1");
}

function keyOf(element) {
  return element.id ? `#${element.id}` : element.getAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : "";
}

function find(part, key) {
  return key.startsWith("#") ? part.querySelector(`#${CSS.escape(key.slice(1))}`) :
    [...part.querySelectorAll("a")].find((a) => `a[href="${CSS.escape(a.getAttribute("href"))}"]` === key);
}

function showLive(word, polling) {
  const sign = document.getElementById("live");
  if (!sign) return;
  sign.hidden = false;
  sign.classList.toggle("polling", polling);
  document.getElementById("live-word").textContent = word;
}

function stopFollowing(word) {
  following.source?.close();
  following.source = null;
  clearInterval(following.timer);
  following.timer = 0;
  if (word) showLive(word, true);
}

function poll() {
  if (following.timer) return;
  showLive("Every 10 s", true);
  following.timer = setInterval(refresh, 10000);
}

function follow() {
  if (following.source || document.hidden) return;
  const source = new EventSource(document.body.dataset.live);
  following.source = source;
  source.addEventListener("ready", () => {
    following.refused = 0;
    clearInterval(following.timer);
    following.timer = 0;
    showLive("Live", false);
    refresh();
  });
  source.addEventListener("change", refresh);
  source.addEventListener("error", () => {
    poll();
    if (source.readyState === EventSource.CLOSED) { // refused: try again later, and then later still
      following.source = null;
      setTimeout(follow, Math.min(60000, 5000 * 2 ** following.refused++) * (0.8 + 0.4 * Math.random()));
    }
  });
}

document.addEventListener("visibilitychange", () => {
  if (!document.body.dataset.live) return;
  if (document.hidden) {
    stopFollowing("");
    return;
  }
  follow();
});

// The page as it is.
for (const part of document.querySelectorAll("[data-part]")) sources.set(part.id, fingerprint(part));
showTimes(document);
prepareCopying(document);
setInterval(() => showTimes(document), 1000);
if (document.body.dataset.live) follow();
document.getElementById("trouble")?.focus();

// What a page said once it does not say again when it is reloaded, and a new
// secret's page is not asked for twice.
const settle = document.querySelector('meta[name="settle"]')?.content;
if (settle) history.replaceState(null, "", settle);
const query = new URLSearchParams(location.search);
if (query.has("done")) {
  query.delete("done");
  history.replaceState(null, "", location.pathname + (query.size ? `?${query}` : ""));
}

// Choosing an event type loads its example.
document.querySelector(".pick select")?.addEventListener("change", (event) => event.target.form.requestSubmit());

// A sign-in link carries the token behind the #, which no browser sends.
const token = document.getElementById("token");
if (token && location.hash.startsWith("#token=")) {
  token.value = decodeURIComponent(location.hash.slice(7));
  history.replaceState(null, "", location.pathname + location.search);
  document.querySelector(".signin button").focus();
}
