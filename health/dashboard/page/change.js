// The dialog that switches a control: who and why, and what to do about a refusal.
import { byId, h, setText, show } from "./dom.js";

let asked; // { control, on, key, done }

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

// remembered survives where the browser lets nothing be kept.
const remembered = {
  get: () => { try { return localStorage.getItem("actor") ?? ""; } catch { return ""; } },
  set: (name) => { try { localStorage.setItem("actor", name); } catch { /* then it is typed again */ } },
};

export function openChange(control, done) {
  asked = { control, on: !control.on, key: newKey(), done };
  const form = byId("change-form"), word = asked.on ? "on" : "off";
  setText(byId("change-title"), `Turn ${control.name} ${word}`);
  const pools = control.pools.length > 0 ? `in ${control.pools.join(", ")}` : "in no pool";
  setText(byId("change-effect"), asked.on
    ? `Its members ${pools} may be answered again, where they are up.`
    : `Its members ${pools} are no longer answered, however healthy they are.`);
  form.elements.actor.value = remembered.get();
  form.elements.reason.value = "";
  refusal();
  byId("change").showModal();
  (form.elements.actor.value ? form.elements.reason : form.elements.actor).focus();
}

// refusal shows why a command was not taken; without a problem it shows nothing.
function refusal(problem) {
  const box = byId("refusal"), go = byId("change-go"), word = asked.on ? "on" : "off";
  box.hidden = !problem;
  show(box);
  go.disabled = false;
  setText(go, `Turn ${word}`);
  if (!problem) return;
  const rules = problem.rules ?? [];
  if (rules.length === 0) {
    show(box, h("p", {}, h("b", {}, "Not changed. "), problem.detail));
    return;
  }
  show(box, h("p", {}, h("b", {}, rules.length === 1 ? "Refused by a safety rule." : "Refused by safety rules."), " Nothing was changed."),
    rules.map((r) => {
      const id = r.panel ? `${r.panel}/${r.rule}` : r.rule;
      return h("label", { class: "override" }, h("input", { type: "checkbox", name: "override", value: id, onchange: offer }),
        h("span", {}, "Override ", h("b", { class: "rule" }, id), h("small", {}, said(r))));
    }));
  offer();
}

function said(r) {
  const parts = [];
  if (r.broken) parts.push(`needs ${r.needs}, ${r.on} would be`);
  if (r.until) parts.push(`waits until ${new Date(r.until).toLocaleTimeString("en-GB")}`);
  return parts.join("; ");
}

// offer lets the button say which rules it breaks; until all that refused are named it only tries again.
function offer() {
  const named = overrides(), word = asked.on ? "on" : "off", all = byId("refusal").querySelectorAll("input").length;
  setText(byId("change-go"), named.length > 0 ? `Override ${named.join(", ")} and turn ${word}` : `Try again to turn ${word}`);
  byId("change-go").classList.toggle("danger", named.length === all && all > 0);
}

function overrides() {
  return [...byId("refusal").querySelectorAll("input:checked")].map((box) => box.value);
}

async function submit(event) {
  event.preventDefault();
  const form = event.target, { control, on, key, done } = asked;
  const actor = form.elements.actor.value.trim(), reason = form.elements.reason.value.trim();
  if (!actor || !reason) return refusal({ detail: "Who and why are both needed." });
  remembered.set(actor);
  const command = { set: { [control.name]: on ? "on" : "off" }, actor, reason, key, expect: { [control.name]: control.version } };
  const named = overrides();
  if (named.length > 0) command.override = named;
  const go = byId("change-go");
  go.disabled = true;
  setText(go, "Asking the voters …");
  let problem;
  try {
    const response = await fetch("/v1/controls", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(command), signal: AbortSignal.timeout(15000),
    });
    if (response.ok) {
      byId("change").close();
      done();
      return;
    }
    problem = await response.json();
    // What was decided, even if refused, is decided for this key; what was not may be asked again under it.
    if (response.status !== 503) asked.key = newKey();
  } catch (error) {
    problem = { detail: `The node does not answer: ${error.message}` };
  }
  refusal(problem);
  done();
}

export function watchChange() {
  byId("change-form").addEventListener("submit", submit);
  byId("change-cancel").addEventListener("click", () => byId("change").close());
}
