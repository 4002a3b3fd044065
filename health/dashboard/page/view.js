// What each part of the page looks like for what the node says.
import { ago, byId, clock, h, setText, show } from "./dom.js";

const symbols = { up: "▲", down: "▼", drain: "◆", unknown: "?", on: "●", off: "○", hand: "■" };
const levels = { ok: "All well", notice: "Note", warning: "Warning", critical: "Critical" };
const shownFindings = 8;

// What an endpoint is that people have set by hand. It counts so whatever is measured, which is shown beside it.
const byHand = { force_up: "forced up", force_down: "forced down", drain: "drained" };

function badge(state, text = state, more) {
  return h("span", { class: `badge ${state}` }, h("span", { class: "symbol", "aria-hidden": "true" }, symbols[state.split(" ")[0]]), text, more);
}

function cell(label, props, ...children) {
  return h("td", { role: "cell", "data-label": label, ...props }, ...children);
}

function table(caption, heads, rows, className) {
  return h("div", { class: "scroll" }, h("table", { role: "table", class: className },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, heads),
    h("tbody", { role: "rowgroup" }, rows)));
}

const head = (text, props) => h("th", { role: "columnheader", scope: "col", ...props }, text);

export function banner(status) {
  const element = byId("banner");
  element.className = `banner ${status.level}`;
  setText(byId("summary"), status.level === "ok" ? `${status.summary}.` : status.summary);
  document.title = `${status.level === "ok" ? "✓" : levels[status.level]} · Meridian`;
  // A single finding is in the summary already.
  const alone = status.findings.length === 1 && status.summary.endsWith(status.findings[0].text);
  const listed = alone ? [] : status.findings.slice(0, shownFindings);
  const more = status.findings.length - listed.length + (status.more ?? 0);
  show(byId("findings"), listed.map((f) => h("li", { class: f.level },
    h("b", {}, levels[f.level]), " ", f.text, f.since && f.level !== "ok" && [" ", h("small", {}, ago(f.since, "for ", ""))])),
    !alone && more > 0 && h("li", {}, `and ${more} more, below`));
  show(byId("node"), `${status.node.name} in ${status.node.region} · ${status.node.version} · `, ago(status.node.started, "up for ", ""));
}

// The matrix: checks down, vantages by region across.
export function checks({ checks }) {
  if (checks.length === 0) return show(byId("checks"), h("p", { class: "quiet" }, "No checks are configured, so every endpoint counts as up."));
  const regions = new Map();
  for (const check of checks) {
    for (const vote of check.regions ?? []) {
      const vantages = regions.get(vote.region) ?? new Set();
      for (const o of vote.vantages) vantages.add(o.vantage);
      regions.set(vote.region, vantages);
    }
  }
  const columns = [...regions].sort().flatMap(([region, vantages]) => [...vantages].sort().map((vantage) => ({ region, vantage })));
  const first = new Set();
  for (const c of columns) {
    c.first = !first.has(c.region);
    first.add(c.region);
  }
  const heads = [
    h("tr", { role: "row" }, head("Check", { rowspan: 2 }), head("Status", { rowspan: 2 }),
      [...first].map((region) => head(region, { class: "region first", scope: "colgroup", colspan: regions.get(region).size }))),
    h("tr", { role: "row" }, columns.map((c) => head(c.vantage, { class: c.first && "first" }))),
  ];
  show(byId("checks"), table("The status of each check and the verdict of each vantage", heads, checks.map((c) => checkRow(c, columns)), "matrix"));
}

function checkRow(check, columns) {
  const off = [...new Set(check.members.filter((m) => !m.on).map((m) => m.control))];
  const hand = byHand[check.members[0]?.manual];
  return h("tr", { role: "row", "data-check": check.check, class: check.state },
    h("th", { role: "rowheader", scope: "row" }, h("span", { class: "name" }, check.check),
      check.target && h("small", {}, `${check.target.kind} ${check.target.address}${check.target.path ?? ""}, in ${check.target.region}`)),
    cell("", { class: "status" }, badge(check.held ? `${check.state} held` : check.state, check.state, flags(check)), h("small", {}, check.why, " · ", ago(check.since, `${check.state} for `, "")),
      off.map((name) => h("small", { class: "off" }, h("span", { class: "symbol", "aria-hidden": "true" }, symbols.off), ` control ${name} is off`)),
      hand && h("small", { class: "hand" }, h("span", { class: "symbol", "aria-hidden": "true" }, symbols.hand), ` ${hand} by hand`)),
    columns.map((c) => verdict(check, c)));
}

function flags(check) {
  if (check.held) return h("em", {}, "held");
  if (check.held_back) return h("em", {}, "held back");
  if (check.grace) return h("em", {}, "new");
}

function verdict(check, { region, vantage, first }) {
  const label = `${region} · ${vantage}`, className = first ? "first" : undefined;
  const vote = (check.regions ?? []).find((v) => v.region === region);
  const o = vote?.vantages.find((v) => v.vantage === vantage);
  if (!o) return cell(label, { class: className }, h("span", { class: "quiet", title: "this vantage does not probe this check" }, "–"));
  const because = ["ok", "none", o.state].includes(o.reason) ? "" : o.reason;
  const tip = `${vantage} in ${region} says ${o.state}${because && `: ${because}`}. ` +
    (o.fresh ? `${region} votes ${vote.state}.` : `It does not count: ${o.stale}.`);
  return cell(label, { class: className }, h("button", {
    type: "button", class: `verdict ${o.state}${o.fresh ? "" : " stale"}`, "data-tip": tip, "aria-label": tip, "data-key": `${check.check} ${vantage}`,
  }, h("span", { class: "symbol", "aria-hidden": "true" }, symbols[o.state]), o.state, h("small", {}, o.fresh ? because : "not counted")));
}

export function controls(list, change) {
  setText(byId("control-index"), list.known ? `epoch ${list.epoch}, index ${list.index}` : "");
  if (!list.known) return show(byId("controls"), h("p", { class: "quiet" }, "The voters have not said anything yet: every control counts as on."));
  if (list.panels.length === 0) return show(byId("controls"), h("p", { class: "quiet" }, "No controls are configured."));
  show(byId("controls"), !list.quorum && h("p", { class: "refusal" }, "No quorum of voters: controls can't be changed now."),
    list.panels.map((panel) => h("div", { class: "panel", "data-panel": panel.panel },
      h("h3", {}, panel.panel),
      h("ul", { class: "switches" }, panel.controls.map((c) => controlRow(c, change))),
      h("ul", { class: "rules" }, panel.rules.map(rule)))));
}

function controlRow(c, change) {
  const state = c.on ? "on" : "off";
  return h("li", { class: state, "data-control": c.name },
    h("button", {
      type: "button", role: "switch", class: "switch", "aria-checked": String(c.on), "aria-label": c.name, "data-key": `switch ${c.name}`,
      onclick: () => change(c),
    }, h("span", { class: "thumb", "aria-hidden": "true" }), h("span", {}, state)),
    h("span", { class: "what" }, h("b", {}, c.name), h("small", {}, c.reason ? `${c.actor}: ${c.reason}` : "as configured", " · ", ago(c.changed))));
}

function rule(r) {
  return h("li", { class: r.holds ? "holds" : "broken" }, h("b", {}, r.id), ` needs ${r.needs}; ${r.on} ${r.on === 1 ? "is" : "are"}`,
    r.holds ? "" : h("strong", {}, " broken"));
}

export function pools({ pools }) {
  if (pools.length === 0) return show(byId("pools"), h("p", { class: "quiet" }, "No pools are configured."));
  show(byId("pools"), pools.map((pool) => h("div", { class: "panel", "data-pool": pool.pool },
    h("h3", {}, pool.pool, " ", h("small", {}, `${pool.policy}, TTL ${pool.ttl_seconds} s`),
      h("span", { class: `rung ${rungLevel(pool.rung)}` }, pool.rung === "up" ? "answers what is up" : `rung: ${pool.rung}`)),
    pool.names.length > 0 && h("p", { class: "names quiet" }, pool.names.join("  ")),
    h("ul", { class: "members" }, pool.members.map((m) => poolMember(m, pools))),
    h("ul", { class: "answers" }, pool.answers.map((a) => answer(a, pool))))));
}

function rungLevel(rung) {
  if (rung === "up") return "ok";
  return ["open", "last resort", "nodata"].includes(rung) ? "critical" : "warning";
}

function poolMember(m, pools) {
  const rung = m.pool ? pools.find((p) => p.pool === m.member)?.rung : "up";
  const worst = ["down", "unknown", "drain"].find((s) => m.checks.some((c) => c.state === s)) ?? (rung === "up" ? "up" : "down");
  const measured = m.checks.length === 0 ? "no check" : worst + (m.checks.some((c) => c.held) ? ", held" : "");
  const state = m.pool ? `pool${rung === "up" ? "" : `, rung: ${rung}`}` : measured;
  const shut = !m.on || !m.enabled || m.latched || m.manual.state === "force_down";
  return h("li", { class: `${worst}${shut ? " shut" : ""}`, "data-member": m.member }, badge(worst, m.member),
    h("small", {}, [state, !m.enabled && "not enabled", !m.on && "control off", m.latched && "waits to be resumed",
      m.kept && `full: has room for ${m.kept / 10} % of the prefixes`].filter(Boolean).join(", ")),
    m.manual.state !== "auto" && handSet(m.manual));
}

function handSet(manual) {
  return h("small", { class: "hand", title: `${manual.actor}: ${manual.reason}` }, h("span", { class: "symbol", "aria-hidden": "true" }, symbols.hand), ` ${byHand[manual.state]} by hand `,
    ago(manual.since, "for ", ""), manual.expires && `, ${manual.overdue ? "overdue since" : "until"} ${clock(manual.expires)}`);
}

function answer(a, pool) {
  const who = a.clients.join(", ") + (a.groups > a.clients.length ? ` and ${a.groups - a.clients.length} more` : "");
  const shares = (members) => members.map((m) => (m.member === "last_resort" ? "the last resort" : members.length > 1 ? `${m.member} ${Math.round(100 * m.share)} %` : m.member)).join(", ");
  const families = new Set(pool.answers.flatMap((other) => other.families)).size;
  return h("li", {}, h("span", { class: "who" }, who, a.families.length < families && h("small", {}, ` ${a.families.join(", ")}`)), h("span", { "aria-hidden": "true" }, " → "),
    h("b", {}, shares(a.members) || "nothing"), a.rung !== "up" && h("span", { class: `rung ${rungLevel(a.rung)}` }, `rung: ${a.rung}`),
    (a.others ?? []).map((o) => h("small", { class: "other" }, `${o.per_mille / 10} % of the prefixes → `, h("b", {}, shares(o.members)), ` (${o.why})`)));
}

export function nodes(status) {
  const heads = h("tr", { role: "row" }, ["Node", "Region", "Alive", "Serves", "Configuration digest", "Answers digest", "Controls index", "Answers given"].map((t) => head(t)));
  show(byId("nodes"), table("The nodes of the mesh", heads, status.peers.map((p) => nodeRow(p, status.node)), "nodes"),
    status.node.raft && h("p", { class: status.node.quorum ? "quiet" : "refusal" }, `Voters: ${status.node.raft}`),
    Object.keys(status.node.dropped ?? {}).length > 0 && h("p", { class: "quiet" }, "Messages refused: ",
      Object.entries(status.node.dropped).map(([reason, n]) => `${reason} ${n}`).join(", ")));
}

function nodeRow(p, self) {
  const said = p.heard !== undefined;
  const mark = (label, what, value, full) => {
    const d = (p.differs ?? []).find((x) => x.what === what);
    return cell(label, { class: d ? "digest differs" : "digest" }, h("code", { title: full }, said ? value : "–"),
      d && h("small", {}, "≠ the others, ", ago(d.since, "for ", "")));
  };
  return h("tr", { role: "row", "data-node": p.name, class: p.alive ? undefined : "lost" },
    h("th", { role: "rowheader", scope: "row" }, h("span", { class: "name" }, p.name),
      h("small", {}, p.name === self.name && "this node · ", (p.roles ?? []).join(", "))),
    cell("Region", {}, p.region),
    cell("Alive", {}, p.alive ? badge("up", "alive") : badge("down", "lost"), h("small", {}, said ? ago(p.heard, "heard ") : "not heard yet")),
    cell("Serves", {}, serves(p)),
    mark("Configuration digest", "configuration", p.world.slice(0, 8), p.world),
    mark("Answers digest", "answers", p.snapshot.slice(0, 8), p.snapshot),
    mark("Controls index", "controls", `${p.epoch}.${p.index}`, `epoch ${p.epoch}, index ${p.index}`),
    cell("Answers given", {}, (p.answers ?? []).map((a) => `${a.region} ${a.answers}`).join(" · ") || "–"));
}

// serves is what a node says of itself, which nobody knows of a lost one.
function serves(p) {
  if (!p.alive) return badge("unknown", "not known");
  if (p.ready) return badge("up", "yes");
  return (p.roles ?? []).includes("dns") ? badge("down", "no") : "–";
}

export function events(list) {
  show(byId("events"), list.length === 0 && h("li", { class: "quiet" }, "Nothing has happened yet."),
    list.map((e) => h("li", { "data-kind": e.kind }, h("time", { datetime: e.time, title: e.time }, clock(e.time)),
      h("span", { class: "kind" }, e.kind), h("span", { class: "text" }, h("b", {}, e.subject), " ", e.text))));
}
