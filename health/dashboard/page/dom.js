// Small helpers that build the page. Data becomes text nodes and attributes, never markup.

// h makes an element. Properties that are undefined or false are left out; "on…" are listeners.
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== false && c !== ""));
  return element;
}

export const byId = (id) => document.getElementById(id);

// show replaces what an element holds and gives the focus back to what had it, by data-key.
export function show(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...children.flat(Infinity).filter((c) => c !== undefined && c !== false));
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

// setText touches an element only when its words change, so that a screen reader says them once.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let offset = 0; // what the node's clock is ahead of the browser's, in milliseconds
export function setClock(now) { offset = Date.parse(now) - Date.now(); }

export function duration(seconds) {
  for (const [unit, size, next] of [["s", 1, 120], ["min", 60, 7200], ["h", 3600, 172800]]) {
    if (seconds < next) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds / 86400)} d`;
}

// ago is a time in words, which tick keeps right. The words stand around the duration: "for 3 min", "3 min ago".
export function ago(at, before = "", after = " ago") {
  const element = h("time", { datetime: at, title: at, "data-before": before, "data-after": after });
  fill(element);
  return element;
}

function fill(element) {
  const seconds = Math.max(0, (Date.now() + offset - Date.parse(element.dateTime)) / 1000);
  const { before, after } = element.dataset;
  setText(element, seconds < 1 && after ? `${before}just now` : before + duration(seconds) + after);
}

export function tick() {
  for (const element of document.querySelectorAll("time[data-after]")) fill(element);
}

// clock is the time of day of an event, with the date if that is another day.
export function clock(at) {
  const then = new Date(at), time = then.toLocaleTimeString("en-GB");
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString("sv-SE")} ${time}`;
}

// Tips: one element for all, beside whatever has data-tip and the pointer or the focus.
export function watchTips() {
  const tip = byId("tip");
  const hide = () => { tip.hidden = true; };
  const place = (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (!target) return hide();
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const box = target.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const below = box.bottom + 6;
    const top = below + tip.offsetHeight > innerHeight ? box.top - tip.offsetHeight - 6 : below;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
  };
  document.addEventListener("pointerover", place);
  document.addEventListener("focusin", place);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}
