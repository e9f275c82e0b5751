/* Numbers, times and sizes as people read them. */

const MINUS = "\u2212";

/** A number with so many decimals; a dash where there is none. */
export const number = (value, digits = 1) =>
  (Number.isFinite(value) ? value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1").replace("-", MINUS) : "–");

/** Minutes and seconds: 4:05. */
export const clock = (seconds) =>
  (Number.isFinite(seconds) ? `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}` : "–");

/** Bytes in the largest unit that leaves a number of one to three digits. */
export function size(bytes) {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes, k = 0;
  while (value >= 999.5 && k < units.length - 1) { value /= 1000; k += 1; }
  return `${value.toFixed(k && value < 9.95 ? 1 : 0)} ${units[k]}`;
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/** A day and an hour in the reader's own way of writing them. */
export const when = (iso) => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A file's name without its ending. */
export const titleOf = (name) => (name ?? "").replace(/\.[A-Za-z0-9]{2,5}$/, "");
