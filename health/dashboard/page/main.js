// Keeps the page as the node is: one stream of changes, and a fetch of what a change touches.
import { byId, setClock, setText, show, tick, watchTips } from "./dom.js";
import { openChange, watchChange } from "./change.js";
import * as view from "./view.js";

const keptEvents = 200;
const silenceAfter = 40000; // the node speaks every 15 s at least
const retryAfter = 3000;

const loaded = {}; // by part: the version that is shown
const busy = {}; // by part: being fetched
let status, source, heard = 0, journal = [], run;

const parts = {
  checks: (body) => view.checks(body),
  pools: (body) => { view.pools(body); suggest(body); },
  controls: (body) => view.controls(body, change),
};

function change(control) { openChange(control, () => load("controls")); }

// load fetches one part; a change that comes meanwhile makes it fetch again.
async function load(part) {
  if (busy[part]) { busy[part] = "again"; return; }
  const version = status?.versions[part];
  busy[part] = "once";
  try {
    const response = await fetch(`/v1/${part}`, { signal: AbortSignal.timeout(10000) });
    if (!response.ok) throw new Error(`${part}: ${response.status}`);
    parts[part](await response.json());
    loaded[part] = version;
  } catch {
    setTimeout(() => { if (loaded[part] !== status?.versions[part]) load(part); }, retryAfter);
  } finally {
    const again = busy[part] === "again";
    delete busy[part];
    if (again) load(part);
  }
}

function takeStatus(event) {
  status = JSON.parse(event.data);
  if (run !== undefined && run !== status.node.started) { journal = []; view.events(journal); }
  run = status.node.started;
  setClock(status.now);
  connection("live");
  view.banner(status);
  view.nodes(status);
  for (const part of Object.keys(parts)) {
    if (loaded[part] !== status.versions[part]) load(part);
  }
}

let drawing = false;
function takeEvent(event) {
  const line = JSON.parse(event.data);
  heard = Date.now();
  const id = event.lastEventId;
  if (journal.some((e) => e.id === id)) return;
  journal.unshift({ id, ...line });
  journal.length = Math.min(journal.length, keptEvents);
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; view.events(journal); });
}

function connection(state) {
  if (state === "live") heard = Date.now();
  const element = byId("connection");
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  setText(element, state === "live" ? "live" : "reconnecting; what is shown is old");
  document.body.classList.toggle("stale", state !== "live");
  byId("controls").inert = state !== "live";
}

function connect() {
  source?.close();
  for (const part of Object.keys(loaded)) delete loaded[part];
  source = new EventSource("/v1/stream");
  source.addEventListener("status", takeStatus);
  source.addEventListener("event", takeEvent);
  source.addEventListener("open", () => { for (const part of Object.keys(loaded)) delete loaded[part]; });
  source.addEventListener("error", () => {
    connection("lost");
    // The browser tries again by itself, but for what it takes for a final answer.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, retryAfter);
  });
  heard = Date.now();
}

setInterval(() => {
  tick();
  if (Date.now() - heard > silenceAfter) {
    connection("lost");
    connect();
  }
}, 1000);

// suggest fills the name to explain once, with the first that is steered.
function suggest({ pools }) {
  const name = byId("explain").elements.name;
  if (!name.value && document.activeElement !== name) name.value = pools.flatMap((p) => p.names)[0] ?? "";
}

// pastTime makes a time of day the last one that it was so late; everything else the node reads itself.
function pastTime(text) {
  const clock = /^(\d?\d):(\d\d)(?::(\d\d))?$/.exec(text);
  if (!clock) return text;
  const at = new Date();
  at.setHours(Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0), 0);
  if (at > new Date()) at.setDate(at.getDate() - 1);
  const ahead = -at.getTimezoneOffset(), digits = (n) => String(Math.floor(Math.abs(n))).padStart(2, "0");
  const zone = `${ahead < 0 ? "-" : "+"}${digits(ahead / 60)}:${digits(ahead % 60)}`;
  return `${at.toLocaleDateString("sv-SE")}T${at.toLocaleTimeString("sv-SE")}${zone}`;
}

async function explain(event) {
  event.preventDefault();
  const form = event.target.elements, out = byId("explained");
  const query = new URLSearchParams({ name: form.name.value.trim(), type: form.type.value });
  const client = form.client.value.trim();
  if (client) query.set(client.includes("/") ? "subnet" : "client", client);
  if (form.at.value.trim()) query.set("at", pastTime(form.at.value.trim()));
  if (form.if.value.trim()) query.set("if", form.if.value.trim());
  out.hidden = false;
  try {
    const response = await fetch(`/v1/explain?${query}`, { signal: AbortSignal.timeout(10000) });
    const body = await response.json();
    show(out, response.ok ? body.text : body.detail);
  } catch (error) {
    show(out, `The node does not answer: ${error.message}`);
  }
}

byId("explain").addEventListener("submit", explain);
watchTips();
watchChange();
view.events(journal);
connect();
