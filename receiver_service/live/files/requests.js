// The table of the latest requests, newest first.

import { byId, element } from "./elements.js";
import { bits, bytes, clock, count, methodName, NONE, seconds, wireBytes } from "./format.js";
import { bar, legend, length } from "./stages.js";

const FEW = 10;

let all = false;

export function prepareRequests(showAgain) {
  byId("legend").replaceChildren(...legend());
  byId("more").addEventListener("click", () => {
    all = !all;
    byId("more").textContent = all ? "Show fewer" : "Show more";
    showAgain();
  });
}

export function showRequests(kept) {
  byId("none").hidden = kept.length > 0;
  byId("requests").hidden = byId("legend").hidden = !kept.length;
  byId("more").hidden = kept.length <= FEW;
  const shown = kept.slice(all ? 0 : -FEW).reverse();
  const longest = Math.max(...shown.filter((r) => !r.error).map(length), 0);
  byId("rows").replaceChildren(...shown.map((request) => (request.error ? failure(request) : row(request, longest))));
}

const cell = (label, className, ...children) => {
  const made = element("td", { className }, ...children);
  made.dataset.label = label;
  return made;
};

function method(request) {
  const fell = request.path && request.path !== request.method;
  return cell("Method", "method", methodName(request.method),
    fell ? element("span", { className: "fell", title: request.reason }, ` → ${methodName(request.path)}`) : null);
}

function ended(request) {
  return cell("Ended", "ended", element("time", { title: `request ${request.request_id}` }, clock(request.ended_at_s)));
}

function row(request, longest) {
  const moved = request.bytes;
  return element("tr", {},
    ended(request),
    method(request),
    cell("Codec", "codec", element("span", { title: request.fuser ? `fuser ${request.fuser}` : "" }, request.codec || NONE)),
    cell("Bytes", "number", bytes(wireBytes(moved))),
    cell("Bits per value", "number wide", bits(moved?.bits_per_value)),
    cell("Tokens", "number wide", count(request.tokens.generated)),
    cell("First token", "number", seconds(request.first_token_s)),
    cell("Total", "number", seconds(request.total_s)),
    cell("Stages", "stages", bar(request, longest)),
  );
}

function failure(request) {
  const why = cell("Failed", "failure", element("strong", {}, request.error.status), ` ${request.error.message}`);
  why.colSpan = 7;
  return element("tr", {}, ended(request), method(request), why);
}
