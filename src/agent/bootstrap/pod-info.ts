// The files of the downward API, `/etc/istio/pod/labels` and `annotations`: one `key="value"` a line, the value
// quoted as Go does it.

export function parsePodInfo(text: string): Record<string, string> {
  const result: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) result[line.slice(0, equals)] = unquote(line.slice(equals + 1).trim());
  }
  return result;
}

const escapes: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

function unquote(text: string): string {
  if (!text.startsWith('"') || !text.endsWith('"') || text.length < 2) return text;
  return text
    .slice(1, -1)
    .replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/g, (_, escaped: string) =>
      escaped.length > 1 ? String.fromCodePoint(Number.parseInt(escaped.slice(1), 16)) : (escapes[escaped] ?? escaped),
    );
}
