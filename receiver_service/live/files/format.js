// Numbers as people read them; "–" where there is none.

export const NONE = "–";

const ifKnown = (write) => (value) => (value === null || value === undefined || Number.isNaN(value) ? NONE : write(value));

const digits = (value, few = 3) => value.toLocaleString("en", { maximumSignificantDigits: few });

export const seconds = ifKnown((value) =>
  value < 0.0995 ? `${digits(1000 * value, 2)} ms` : value < 0.9995 ? `${Math.round(1000 * value)} ms` : `${value.toFixed(value < 99.5 ? 2 : 0)} s`,
);

export const bytes = ifKnown((value) => {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (value >= 0.9995 * size) return `${digits(value / size)} ${unit}`;
  return `${Math.round(value)} B`;
});

export const bits = ifKnown((value) => (value > 0 ? value.toFixed(2) : NONE));

export const rate = ifKnown((value) => (value === 0 ? "0" : value < 10 ? value.toFixed(2) : value.toFixed(1)));

export const count = ifKnown((value) => value.toLocaleString("en"));

export const percent = ifKnown((value) => `${digits(100 * value, value < 0.1 ? 2 : 3)} %`);

export const clock = (epoch) => new Date(1000 * epoch).toLocaleTimeString("en-GB");

export function lasting(value) {
  const [days, hours, minutes] = [Math.floor(value / 86400), Math.floor(value / 3600) % 24, Math.floor(value / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${Math.floor(value)} s`;
}

const METHODS = {
  receiver_only: "receiver only",
  receiver_reads: "receiver reads",
  sharer_only: "sharer only",
  text: "text relay",
  prefix: "cache",
  fuse: "fused caches",
};

export const methodName = (method) => METHODS[method] ?? method;

// What the kernel counted, or what gRPC serialized where others used the connection meanwhile; 0 without a sharer.
export const wireBytes = (moved) => (moved ? moved.socket_bytes ?? moved.grpc_bytes : 0);

export function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
