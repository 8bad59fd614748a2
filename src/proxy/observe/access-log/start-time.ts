// `%START_TIME%` and `%START_TIME(format)%`: strftime in UTC, with Envoy's %f (fraction), %s and %3f and friends.

/** The renderer of a format, or why the format is not one. Without a format: `2026-01-31T12:34:56.789Z`. */
export function formatStartTime(format: string): ((milliseconds: number) => string) | string {
  if (format === "") return isoTime;
  const parts: (string | ((at: Date) => string))[] = [];
  const pattern = /%(\d?)([A-Za-z%])/g;
  let end = 0;
  for (let match = pattern.exec(format); match !== null; match = pattern.exec(format)) {
    parts.push(format.slice(end, match.index));
    end = pattern.lastIndex;
    const [whole, digits = "", letter = ""] = match;
    const field =
      letter === "f" ? fraction(digits === "" ? 9 : Number(digits)) : digits === "" ? fields[letter] : undefined;
    if (field === undefined) return `"${whole}" is not a known time format`;
    parts.push(field);
  }
  parts.push(format.slice(end));
  return (milliseconds) => {
    const at = new Date(milliseconds);
    return parts.map((part) => (typeof part === "string" ? part : part(at))).join("");
  };
}

// Most lines of a busy proxy share a millisecond with the line before.
let lastMs = Number.NaN;
let lastText = "";

function isoTime(milliseconds: number): string {
  const whole = Math.floor(milliseconds);
  if (whole !== lastMs) {
    lastMs = whole;
    lastText = new Date(whole).toISOString();
  }
  return lastText;
}

function fraction(digits: number): (at: Date) => string {
  return (at) => two(at.getUTCMilliseconds(), 3).padEnd(9, "0").slice(0, digits);
}

const two = (value: number, width = 2): string => String(value).padStart(width, "0");
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const fields: Readonly<Record<string, (at: Date) => string>> = {
  Y: (at) => String(at.getUTCFullYear()),
  y: (at) => two(at.getUTCFullYear() % 100),
  m: (at) => two(at.getUTCMonth() + 1),
  d: (at) => two(at.getUTCDate()),
  e: (at) => String(at.getUTCDate()).padStart(2, " "),
  H: (at) => two(at.getUTCHours()),
  M: (at) => two(at.getUTCMinutes()),
  S: (at) => two(at.getUTCSeconds()),
  F: (at) => at.toISOString().slice(0, 10),
  T: (at) => at.toISOString().slice(11, 19),
  b: (at) => months[at.getUTCMonth()] ?? "",
  a: (at) => days[at.getUTCDay()] ?? "",
  j: (at) =>
    two(
      (Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate()) - Date.UTC(at.getUTCFullYear(), 0, 0)) /
        86_400_000,
      3,
    ),
  z: () => "+0000",
  Z: () => "UTC",
  s: (at) => String(Math.floor(at.getTime() / 1000)),
  n: () => "\n",
  "%": () => "%",
};
