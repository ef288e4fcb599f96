// Where the time of a request went: one bar whose parts add up to the receiver's total.

import { element } from "./elements.js";
import { seconds } from "./format.js";

// Class of its colour, name. Stages of the sharer run within the receiver's "share"; what is left of that is the wire.
const PARTS = [
  ["s0", "sharer reads"],
  ["s1", "sharer writes"],
  ["s2", "encode"],
  ["s3", "wire, decode"],
  ["s4", "receiver reads"],
  ["s5", "receiver writes"],
  ["s6", "waiting, other"],
];

export function parts(report) {
  const of = (side, ...names) =>
    report.stages.filter((s) => s.side === side && names.includes(s.name)).reduce((sum, s) => sum + s.seconds, 0);
  const reads = of("sharer", "prefill"), writes = of("sharer", "decode"), encodes = of("sharer", "encode");
  const known = [
    reads, writes, encodes,
    Math.max(0, of("receiver", "share") - reads - writes - encodes),
    of("receiver", "prefill", "prompt", "together"), of("receiver", "decode", "score"),
  ];
  const sum = known.reduce((a, b) => a + b, 0);
  return [...known, Math.max(0, (report.total_s ?? 0) - sum)];
}

// `longest`: the seconds a full bar stands for.
export function bar(report, longest) {
  const found = parts(report), told = [];
  const made = element("div", { className: "bar" });
  made.setAttribute("role", "img");
  found.forEach((spent, index) => {
    if (spent <= 0) return;
    const said = `${PARTS[index][1]} ${seconds(spent)}`;
    told.push(said);
    const part = element("span", { className: PARTS[index][0], title: said });
    part.style.width = `${(100 * spent) / Math.max(longest, 1e-9)}%`;
    made.append(part);
  });
  made.setAttribute("aria-label", told.join(", ") || "no stages");
  return made;
}

export const length = (report) => parts(report).reduce((a, b) => a + b, 0);

export const legend = () =>
  PARTS.map(([colour, name]) => element("li", {}, element("span", { className: `key ${colour}` }), name));
