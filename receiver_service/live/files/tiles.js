// The four numbers on top, each with its last minutes.

import { byId, drawn, element } from "./elements.js";
import { bits, bytes, median, percent, rate, seconds, wireBytes } from "./format.js";

const BUCKET_S = 5, BUCKETS = 36, RECENT_S = 60, LATEST = 20;
const WIDTH = 240, HEIGHT = 44;

export const HISTORY_S = BUCKET_S * BUCKETS;

export function showTiles(requests, now, uptime) {
  const span = Math.max(1, Math.min(RECENT_S, uptime));
  const recent = requests.filter((r) => r.ended_at_s > now - RECENT_S);
  const sum = (found) => found.reduce((total, r) => total + wireBytes(r.bytes), 0);
  const firsts = (found) => found.map((r) => r.first_token_s).filter((s) => s !== null && s !== undefined);
  const buckets = inBuckets(requests, now);

  tile("rate", "Requests per second", rate(recent.length / span), failed(recent),
    bars(buckets.map((found) => found.length / BUCKET_S), (v) => `${rate(v)} per second`));
  tile("bandwidth", "Between sharer and receiver", `${bytes(sum(recent) / span)}/s`, "last minute",
    bars(buckets.map((found) => sum(found) / BUCKET_S), (v) => `${bytes(v)}/s`));
  tile("first-token", "Time to first token", seconds(median(firsts(recent))), "median, last minute",
    dots(buckets.map((found) => median(firsts(found))), seconds));
  showSize(requests.filter((r) => r.bytes?.values > 0).slice(-LATEST));
}

const failed = (recent) => {
  const number = recent.filter((r) => r.error).length;
  return number ? `last minute, ${number} failed` : "last minute";
};

// What a request's cache took, beside what its numbers take in fp16.
function showSize(found) {
  const mean = (of) => found.reduce((total, r) => total + of(r.bytes), 0) / found.length;
  if (!found.length) return tile("size", "Cache per request", bytes(null), "no cache was sent yet", gauge(0));
  const payload = mean((moved) => moved.payload_bytes), values = mean((moved) => moved.values);
  const share = payload / (2 * values);
  tile("size", "Cache per request", bytes(payload), `${percent(share)} of fp16, ${bits((8 * payload) / values)} bits per value`, gauge(share));
}

function tile(id, title, value, note, picture) {
  byId(id).replaceChildren(
    element("h3", {}, title), element("p", { className: "value" }, value), element("p", { className: "quiet" }, note), picture,
  );
}

function inBuckets(requests, now) {
  const found = Array.from({ length: BUCKETS }, () => []);
  for (const request of requests) {
    const index = BUCKETS - 1 - Math.floor((now - request.ended_at_s) / BUCKET_S);
    if (index >= 0 && index < BUCKETS) found[index].push(request);
  }
  return found;
}

const ago = (index) => `${(BUCKETS - index) * BUCKET_S} to ${(BUCKETS - 1 - index) * BUCKET_S} s ago`;

function chart(values, name, marks) {
  const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "spark" });
  const highest = Math.max(...values.map((v) => v ?? 0));
  picture.setAttribute("aria-label", `last ${HISTORY_S / 60} minutes, at most ${name(highest)}`);
  picture.append(drawn("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, class: "axis" }), ...marks(highest || 1));
  return picture;
}

const hint = (index, text) => {
  const title = drawn("title");
  title.textContent = `${ago(index)}: ${text}`;
  return title;
};

function bars(values, name) {
  const step = WIDTH / BUCKETS;
  return chart(values, name, (highest) =>
    values.flatMap((value, index) => {
      if (!value) return [];
      const high = Math.max(1.5, (HEIGHT - 4) * (value / highest));
      const place = { x: index * step + 0.75, y: HEIGHT - high, width: step - 1.5, height: high };
      return [drawn("rect", place, hint(index, name(value)))];
    }));
}

function dots(values, name) {
  const step = WIDTH / BUCKETS;
  return chart(values, name, (highest) =>
    values.flatMap((value, index) => {
      if (value === null) return [];
      const top = HEIGHT - 3 - (HEIGHT - 8) * (value / highest);
      const stem = { x: index * step + step / 2 - 0.4, y: top, width: 0.8, height: HEIGHT - top, class: "stem" };
      return [drawn("rect", stem), drawn("rect", { x: index * step + 0.75, y: top - 1.5, width: step - 1.5, height: 3 }, hint(index, name(value)))];
    }));
}

function gauge(share) {
  const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", class: "spark" });
  picture.setAttribute("aria-label", `${percent(share)} of fp16`);
  const high = 14, top = HEIGHT - high;
  picture.append(drawn("rect", { x: 0, y: top, width: WIDTH, height: high, class: "ground" }));
  picture.append(drawn("rect", { x: 0, y: top, width: WIDTH * Math.min(1, share), height: high }));
  return picture;
}
