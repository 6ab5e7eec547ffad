// Keeps a page up to date: the server sends parts that have changed, and entries for the list of events.
"use strict";

(() => {
  const ENTRIES = 200; // Rows of the list of events; older ones go.
  const status = document.getElementById("live");
  let since = document.body.dataset.seq;
  let source = null;

  function say(text) {
    if (status.textContent !== text) status.textContent = text;
  }

  // The daemon's times are UTC; the reader's zone is known here alone.
  function localTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      time.title = time.textContent;
      time.textContent = at.toLocaleString("sv"); // 2026-02-03 14:05:06
    }
  }

  // What had the focus has it again where it is still there.
  function keepingFocus(part, change) {
    const active = document.activeElement;
    const was = part.contains(active) ? active : null;
    const selector = was && (was.id ? `#${CSS.escape(was.id)}` : was.getAttribute("href") && `a[href="${CSS.escape(was.getAttribute("href"))}"]`);
    change();
    const again = selector && part.querySelector(selector);
    if (again) again.focus({ preventScroll: true });
  }

  function replace({ id, html }) {
    const part = document.getElementById(id);
    // A choice that somebody is making stays, as does a selected text.
    if (!part || part.querySelector("input:checked") || isSelected(part)) return;
    const open = [...part.querySelectorAll("details")].map((it) => it.open);
    const log = part.querySelector("pre.log");
    const place = log && { top: log.scrollTop, atEnd: log.scrollHeight - log.scrollTop - log.clientHeight < 30 };
    keepingFocus(part, () => { part.innerHTML = html; });
    part.querySelectorAll("details").forEach((it, index) => { it.open = open[index] ?? it.open; });
    const after = part.querySelector("pre.log");
    if (after) after.scrollTop = place && !place.atEnd ? place.top : after.scrollHeight;
    localTimes(part);
  }

  function isSelected(part) {
    const selection = getSelection();
    return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  }

  function add({ html }) {
    const list = document.getElementById("entries");
    if (!list) return;
    const holder = document.createElement("tbody");
    holder.innerHTML = html;
    const row = holder.firstElementChild;
    if (!row || list.querySelector(`[data-seq="${CSS.escape(row.dataset.seq)}"]`)) return;
    localTimes(row);
    list.prepend(row);
    while (list.childElementCount > ENTRIES) list.lastElementChild.remove();
  }

  function listen() {
    if (source || document.hidden) return;
    const address = new URL(location.href);
    address.searchParams.set("since", since);
    source = new EventSource(address);
    const on = (kind, act) => source.addEventListener(kind, (message) => {
      since = message.lastEventId || since;
      act(JSON.parse(message.data));
    });
    on("part", replace);
    on("entry", add);
    on("reload", () => location.reload());
    source.onopen = () => say("live");
    source.onerror = () => {
      say("not live: the daemon does not answer");
      // A browser gives up after an answer that is no stream, such as "too many".
      if (source.readyState === EventSource.CLOSED) {
        rest();
        setTimeout(listen, 5000);
      }
    };
  }

  // A browser has six connections for all pages of one address: one that nobody sees takes none.
  function rest() {
    if (source) source.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      rest();
      say("resting");
    } else {
      listen();
    }
  });
  addEventListener("pagehide", rest);
  addEventListener("pageshow", listen);
  localTimes(document);
  const log = document.querySelector("pre.log");
  if (log) log.scrollTop = log.scrollHeight;
  listen();
})();
