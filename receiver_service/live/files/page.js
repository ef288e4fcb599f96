// Asks the service each second what it does and shows it; pauses while nobody looks.

import { prepareAsk, showBox } from "./ask.js";
import { byId, element } from "./elements.js";
import { lasting } from "./format.js";
import { prepareRequests, showRequests } from "./requests.js";
import { HISTORY_S, showTiles } from "./tiles.js";
import { showTotals } from "./totals.js";

const EVERY_MS = 1000, PATIENCE_MS = 5000, SHOWN = 128;

let requests = [], last = 0, startedAt = null, timer = null, running = false;

async function look() {
  const answer = await fetch(`live.json?after=${last}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const found = await answer.json();
  if (startedAt !== null && found.started_at_s !== startedAt) {
    requests = [];
    [last, startedAt] = [0, null];
    return look();
  }
  startedAt = found.started_at_s;
  take(found);
}

function take(found) {
  requests.push(...found.requests);
  last = found.requests.at(-1)?.number ?? last;
  while (requests.length > SHOWN && requests[0].ended_at_s < found.now_s - HISTORY_S) requests.shift();
  showTiles(requests, found.now_s, found.uptime_s);
  showRequests(requests.slice(-SHOWN));
  showTotals(found.totals);
  showBox(found);
  showModels(found);
  const { in_flight: flight, in_flight_limit: limit } = found.totals;
  byId("facts").textContent = `${flight} of at most ${limit} requests in flight · up ${lasting(found.uptime_s)} · version ${found.version}`;
}

function showModels({ model, sharers }) {
  const about = `${model.layers} layers, ${model.kv_heads} KV heads of ${model.head_dim} · ${model.weight_format} · ${model.device}`;
  const others = Object.entries(sharers).map(([name, id]) =>
    card("model", name === "sharer" ? name : `sharer ${name}`, id || "does not answer", id ? "reads the context, sends its cache" : "retrying"));
  const arrow = element("span", { className: "arrow", ariaHidden: "true" }, "→");
  const shown = [...(others.length ? [element("div", { className: "sharers" }, ...others), arrow] : []), card("model", "this receiver", model.id, about)];
  const before = byId("models");
  if (before.dataset.shown !== JSON.stringify([model, sharers])) before.replaceChildren(...shown);
  before.dataset.shown = JSON.stringify([model, sharers]);
}

const card = (className, role, name, about) =>
  element("div", { className }, element("span", { className: "quiet" }, role), element("strong", {}, name), element("span", { className: "quiet" }, about));

function state(text, alive) {
  byId("state").textContent = text;
  byId("state").classList.toggle("gone", !alive);
}

async function poll() {
  if (running) return;
  running = true;
  clearTimeout(timer);
  try {
    await look();
    state("live", true);
  } catch {
    state("the receiver does not answer, retrying", false);
  }
  running = false;
  if (!document.hidden) timer = setTimeout(poll, EVERY_MS);
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : poll()));
byId("loadtest").textContent = "kvwire loadtest --receiver HOST:PORT --method prefix --codec int8";
prepareRequests(() => showRequests(requests.slice(-SHOWN)));
prepareAsk();
poll();
