// The box to ask from: one question, answered in up to three ways side by side, as their tokens come.

import { byId, element } from "./elements.js";
import { bits, bytes, methodName, NONE, seconds, wireBytes } from "./format.js";
import { bar, length } from "./stages.js";

const WAYS = {
  receiver_only: "reads the prompt alone",
  text: "reads a message the sharer writes",
  prefix: "reads the sharer's cache",
};

let ways = [], cards = new Map(), stopper = null, box = null;

export function prepareAsk() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    askAll();
  });
  byId("ask").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
  });
  byId("stop").addEventListener("click", () => stopper?.abort());
}

// What may be asked, of whom. It changes only when the service is another one.
export function showBox(found) {
  const told = JSON.stringify([found.box, found.sharers]);
  if (told === box) return;
  box = told;
  const { closed, wants_token: wantsToken, codecs, fusers } = found.box;
  const sharers = Object.keys(found.sharers);
  byId("closed").textContent = closed && `Asking is not offered here: ${closed}.`;
  byId("closed").hidden = !closed;
  byId("ask").hidden = Boolean(closed);
  byId("alone").hidden = Boolean(closed) || sharers.length > 0;
  byId("token-field").hidden = !wantsToken;
  byId("codecs").replaceChildren(...codecs.map((value) => element("option", { value })));
  for (const label of document.querySelectorAll(".sharing")) label.hidden = !sharers.length;
  choices("sharer", sharers);
  choices("fuser", fusers);
  showWays(closed ? [] : Object.keys(WAYS).filter((way) => way === "receiver_only" || sharers.length));
}

function choices(id, names) {
  const chosen = byId(id).value;
  byId(id).replaceChildren(...names.map((value) => element("option", { value }, value)));
  if (names.includes(chosen)) byId(id).value = chosen;
  byId(id).parentElement.hidden = names.length < 2;
}

function showWays(found) {
  if (found.join() === ways.join()) return;
  ways = found;
  cards = new Map(ways.map((way) => [way, new Card(way)]));
  byId("answers").replaceChildren(...[...cards.values()].map((card) => card.root));
}

async function askAll() {
  if (stopper || !ways.length) return;
  stopper = new AbortController();
  byId("go").disabled = true;
  byId("stop").disabled = false;
  const ended = [];
  const asked = (way) => ask(way, cards.get(way), stopper.signal).then((report) => {
    if (report) ended.push([cards.get(way), report]);
    const longest = Math.max(...ended.map(([, one]) => length(one)), 0);
    for (const [card, one] of ended) card.showStages(one, longest);
  });
  try {
    for (const way of ways) cards.get(way).begin();
    if (byId("in-turn").checked) for (const way of ways) await asked(way);
    else await Promise.all(ways.map(asked));
  } finally {
    stopper = null;
    byId("go").disabled = false;
    byId("stop").disabled = true;
  }
}

function question(method) {
  const value = (id) => byId(id).value;
  return {
    method, context: value("context"), prompt: value("prompt"), codec: value("codec"),
    sharer: value("sharer"), fuser: value("fuser") || "identity", max_new_tokens: Number(value("max-new-tokens")),
  };
}

// Ask one way; its report, or null if it failed.
async function ask(method, card, signal) {
  const headers = { "Content-Type": "application/json" };
  if (byId("token").value) headers.Authorization = `Bearer ${byId("token").value}`;
  card.asked();
  try {
    const answer = await fetch("ask", { method: "POST", headers, body: JSON.stringify(question(method)), signal });
    for await (const line of lines(answer)) {
      if (line.token !== undefined) card.add(line.token);
      else if (line.error) return card.fail(line.error.status, line.error.message);
      else return card.end(line.report);
    }
    return card.fail("UNAVAILABLE", "the answer was cut off; the receiver has stopped");
  } catch (error) {
    const [status, said] = error.name === "AbortError" ? ["CANCELLED", "stopped"] : ["UNAVAILABLE", "the receiver does not answer"];
    return card.fail(status, said);
  }
}

async function* lines(answer) {
  const type = answer.headers.get("Content-Type") ?? "";
  if (!type.includes("json")) {
    yield { error: { status: `HTTP ${answer.status}`, message: (await answer.text()).trim() } };
    return;
  }
  let rest = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n");
    rest = found.pop();
    for (const line of found) yield JSON.parse(line);
  }
}

// One answer: its text as it comes, its numbers, where its time went.
class Card {
  constructor(way) {
    this.text = element("p", { className: "answer" });
    this.text.setAttribute("aria-live", "polite");
    this.numbers = Object.fromEntries(["First token", "Total", "Bytes", "Bits per value"].map((name) => [name, element("dd", {}, NONE)]));
    const told = Object.entries(this.numbers).map(([name, dd]) => element("div", {}, element("dt", {}, name), dd));
    this.stages = element("div", { className: "place" });
    this.root = element("article", { className: "card" },
      element("h3", {}, methodName(way)), element("p", { className: "quiet" }, WAYS[way]),
      this.text, element("dl", {}, ...told), this.stages);
    this.root.dataset.method = way;
  }

  begin() {
    this.root.dataset.state = "waiting";
    this.text.replaceChildren();
    this.stages.replaceChildren();
    for (const dd of Object.values(this.numbers)) dd.textContent = NONE;
  }

  asked() {
    this.sent = performance.now();
    this.tokens = 0;
    this.root.dataset.state = "asked";
    this.text.setAttribute("aria-busy", "true");
  }

  add(token) {
    if (!this.tokens++) this.numbers["First token"].textContent = seconds((performance.now() - this.sent) / 1000);
    this.text.append(token);
  }

  end(report) {
    this.finish("done");
    const moved = report.bytes;
    this.numbers.Total.textContent = seconds((performance.now() - this.sent) / 1000);
    this.numbers.Bytes.textContent = bytes(wireBytes(moved));
    this.numbers["Bits per value"].textContent = bits(moved?.bits_per_value);
    return report;
  }

  fail(status, message) {
    this.finish("failed");
    this.text.append(element("span", { className: "failure" }, element("strong", {}, status), ` ${message}`));
    return null;
  }

  finish(state) {
    this.root.dataset.state = state;
    this.text.setAttribute("aria-busy", "false");
  }

  showStages(report, longest) {
    this.stages.replaceChildren(bar(report, longest));
  }
}
