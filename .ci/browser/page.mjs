// Looks at the dashboard of a running three-region world with a real browser:
//
//   node page.mjs http://127.0.0.1:8053 [directory for pictures]
//
// It leaves every control and every endpoint as it found it. Exit 1 with one line per mistake.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [base, pictures] = process.argv.slice(2);
if (!base) {
  console.error("usage: node page.mjs URL [DIRECTORY]");
  process.exit(2);
}
if (pictures) mkdirSync(pictures, { recursive: true });

const mistakes = [];
const check = (fact, what) => { if (!fact) mistakes.push(what); };

const profile = mkdtempSync(join(tmpdir(), "meridian-browser-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  viewport: { width: 1280, height: 900 },
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

try {
  const page = browser.pages()[0] ?? await browser.newPage();
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
  });
  let expectRefusal = false;
  page.on("console", (m) => {
    // Chromium notes every response of 400 and above; one is provoked here.
    if (["error", "warning"].includes(m.type()) && !(expectRefusal && /409|404/.test(m.text()))) mistakes.push(`console: ${m.text()}`);
  });
  page.on("pageerror", (e) => mistakes.push(`script: ${e.message}`));
  page.on("request", (r) => check(r.url().startsWith(base), `asks ${r.url()}`));

  await page.goto(base);
  await page.locator('#connection[data-state="live"]').waitFor();
  await page.locator(".matrix tbody tr").first().waitFor();
  const regions = await page.locator(".matrix th.region").allTextContents();
  check(regions.length === 3, `regions in the matrix are ${regions}, want three`);
  check(await page.locator(".verdict").count() > 0, "no verdict is shown");
  check(await page.locator("#nodes tbody tr").count() >= 3, "fewer than three nodes are shown");
  check((await page.locator("#summary").textContent()).length > 10, "the top line says nothing");
  check(await page.locator(".verdict").first().getAttribute("aria-label") !== null, "a verdict has no words");
  await page.locator(".verdict").first().focus();
  check(await page.locator("#tip").isVisible(), "a focused verdict does not say its reason");
  await page.keyboard.press("Escape");
  await picture(page, "light");

  const panel = page.locator("#controls .panel").first();
  await panel.waitFor();
  const names = await panel.locator("li[data-control]").evaluateAll((all) => all.map((e) => e.dataset.control));
  check(names.length === 3, `controls ${names}, want three`);
  const before = new Map();
  for (const name of names) before.set(name, await isOn(page, name));

  expectRefusal = true;
  let refused = "";
  for (const name of names) {
    if (!before.get(name)) continue;
    refused = await toggle(page, name, false);
    if (refused) break;
    if (name === names[0]) await picture(page, "control-off");
  }
  check(!await isOn(page, names[0]), `control ${names[0]} is not shown off`);
  check(refused !== "", "no rule refuses to turn every control off");
  for (const name of names) {
    if (await isOn(page, name) !== before.get(name)) await toggle(page, name, before.get(name));
  }

  // What is set by hand is shown beside what is measured, wherever the endpoint is.
  const member = page.locator("#pools [data-member]").first(), endpoint = await member.getAttribute("data-member");
  await setByHand(endpoint, "drain");
  await member.filter({ hasText: "drained by hand" }).waitFor();
  check((await member.textContent()).includes("up"), `what is measured of ${endpoint} is not shown beside what it is set to`);
  await page.locator(".matrix .hand").first().waitFor();
  await page.locator("#banner").filter({ hasText: `${endpoint} is drained` }).waitFor();
  await page.locator('#events [data-kind="endpoint"]').filter({ hasText: "measured up" }).first().waitFor();
  await picture(page, "by-hand");
  await setByHand(endpoint, "auto");
  await page.locator("#pools .hand").first().waitFor({ state: "detached" });

  await page.locator("#explain button").click();
  await page.locator("#explained").filter({ hasText: "answer:" }).waitFor();
  await page.locator("#explain").getByRole("textbox", { name: "At" }).fill("-1ms");
  await page.locator("#explain").getByRole("textbox", { name: "If" }).fill("lose eu-west, off api-ap-south");
  await page.locator("#explain button").click();
  await page.locator("#explained").filter({ hasText: "supposed: lose eu-west, off api-ap-south" }).waitFor();
  check((await page.locator("#explained").textContent()).includes("replay of "), "an explanation of a time that is past does not say so");
  await picture(page, "replay");
  await page.locator("#explain").getByRole("textbox", { name: "At" }).fill("00:00");
  expectRefusal = true;
  await page.locator("#explain button").click();
  await page.locator("#explained").filter({ hasText: "no replay of that time" }).waitFor();
  check(await page.locator("#events li").count() > 0, "no event is shown");

  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "dark");
  await page.setViewportSize({ width: 400, height: 800 });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  check(width <= 400, `the page is ${width} px wide on a screen of 400`);
  await picture(page, "narrow-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await picture(page, "narrow-light");
  for (const v of await page.evaluate(() => window.violations)) mistakes.push(`content security policy: ${v}`);
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}

for (const m of mistakes) console.error(m);
if (mistakes.length > 0) process.exit(1);
console.log("the dashboard is as it should be");

function isOn(page, name) {
  return page.locator(`[data-control="${name}"] [role=switch]`).getAttribute("aria-checked").then((v) => v === "true");
}

// setByHand sets an endpoint as the command line does: the page only shows it.
async function setByHand(endpoint, state) {
  const response = await fetch(`${base}/v1/endpoints`, {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ set: { [endpoint]: state }, ...(state === "auto" ? {} : { for_seconds: 600 }), actor: "browser test", reason: "see it" }),
  });
  check(response.ok, `${endpoint} is not set to ${state}: ${response.status}`);
}

// toggle switches a control by hand and returns the rule that refused it, or "". A wait period it waits for.
async function toggle(page, name, on) {
  const dialog = page.locator("#change"), goal = page.locator(`[data-control="${name}"] [role=switch][aria-checked="${on}"]`);
  await page.locator(`[data-control="${name}"] [role=switch]`).click();
  await dialog.getByLabel("Who").fill("browser test");
  await dialog.getByLabel("Why").fill(`turn ${name} ${on ? "on" : "off"} and back`);
  for (let attempt = 0; ; attempt++) {
    await page.locator("#change-go").click();
    const refusal = dialog.locator("#refusal .rule").first();
    const outcome = await Promise.race([
      dialog.waitFor({ state: "hidden" }).then(() => "done"),
      refusal.waitFor().then(() => "refused"),
    ]);
    if (outcome === "done") {
      await goal.waitFor();
      return "";
    }
    const text = await dialog.locator("#refusal").textContent();
    if (text.includes("needs")) {
      const rule = await refusal.textContent();
      check(rule !== "", "a refusal names no rule");
      await dialog.locator("#refusal input").first().check();
      check((await page.locator("#change-go").textContent()).includes(rule), "the override does not name the rule");
      await picture(page, "refused");
      await page.locator("#change-cancel").click();
      await dialog.waitFor({ state: "hidden" });
      return rule;
    }
    if (attempt > 20) throw new Error(`${name}: ${text}`);
    await page.waitForTimeout(1000);
  }
}

async function picture(page, name) {
  if (!pictures) return;
  await page.evaluate(() => new Promise((done) => setTimeout(done, 300)));
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: !await page.locator("dialog[open]").isVisible(), animations: "disabled" });
}
