// Reads WWW-Authenticate (RFC 9110, 11.6.1): schemes with their parameters.

export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** By name in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const parameter = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/;
const scheme = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?=\s|$|,)/;

/** What cannot be read ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const found: { readonly scheme: string; readonly parameters: Map<string, string> }[] = [];
  let rest = header.trim();
  while (rest !== "") {
    const said = parameter.exec(rest);
    const last = found.at(-1);
    if (said !== null && last !== undefined) {
      const [whole, name = "", quoted, plain] = said;
      last.parameters.set(name.toLowerCase(), quoted === undefined ? (plain ?? "") : quoted.replaceAll(/\\(.)/g, "$1"));
      rest = rest.slice(whole.length);
    } else {
      const begun = scheme.exec(rest);
      if (begun === null) break;
      found.push({ scheme: (begun[1] ?? "").toLowerCase(), parameters: new Map() });
      rest = rest.slice(begun[0].length);
    }
    rest = rest.replace(/^[\s,]+/, "");
  }
  return found;
}
