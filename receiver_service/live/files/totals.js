// What was counted since the service started.

import { byId, element } from "./elements.js";
import { bits, bytes, count, methodName } from "./format.js";

export function showTotals(totals) {
  const answers = totals.answers.map((one) => [
    one.method === one.path ? methodName(one.method) : `${methodName(one.method)} → ${methodName(one.path)}`, count(one.count),
  ]);
  const failures = totals.failures.map((one) => [`${methodName(one.method)}: ${one.code}`, count(one.count)]);
  const wire = totals.wire.map((one) => [
    one.codec ? `${methodName(one.method)}, ${one.codec}` : methodName(one.method),
    bytes(one.payload_bytes), bytes(one.grpc_bytes), bits(one.bits_per_value),
  ]);
  byId("totals").replaceChildren(
    table("Answers", ["Method", "Number"], answers, "none yet"),
    table("Bytes", ["Method, codec", "Payload", "gRPC", "Bits per value"], wire, "nothing was sent yet"),
    table("Failures", ["Method, status", "Number"], failures, "none"),
  );
}

function table(title, names, rows, nothing) {
  const heading = element("h3", {}, title);
  if (!rows.length) return element("div", {}, heading, element("p", { className: "quiet" }, nothing));
  const head = element("tr", {}, ...names.map((name, i) => element("th", { scope: "col", className: i ? "number" : "" }, name)));
  const body = rows.map((row) => element("tr", {}, ...row.map((value, i) => element("td", { className: i ? "number" : "" }, value))));
  return element("div", {}, heading, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}
