// Brings the machine's rules to the wanted state, however often it runs: one iptables-restore transaction for each
// family replaces our chains and our jumps and leaves everybody else's rules alone. Nothing is ever captured twice,
// and there is no moment without capture on a second run.
import type { Family, Table, TableRules } from "./rule-list.ts";

/** Rules that exist: what iptables-save says of one table. */
export interface ExistingTable {
  readonly table: string;
  readonly chains: readonly string[];
  readonly rules: readonly string[];
}

export function parseSavedRules(text: string): ExistingTable[] {
  const tables: { table: string; chains: string[]; rules: string[] }[] = [];
  for (const line of text.split("\n")) {
    const current = tables.at(-1);
    if (line.startsWith("*")) tables.push({ table: line.slice(1).trim(), chains: [], rules: [] });
    else if (line.startsWith(":")) current?.chains.push(line.slice(1).split(" ")[0] ?? "");
    else if (line.startsWith("-A ")) current?.rules.push(line);
  }
  return tables;
}

/** Input for `iptables-restore --noflush` that turns what exists into what is wanted. */
export function renderTransition(existing: readonly ExistingTable[], wanted: readonly TableRules[]): string {
  const tables = new Set<string>([
    ...wanted.map((item) => item.table),
    ...existing.filter((item) => item.chains.some(isOurs)).map((item) => item.table),
  ]);
  return [...tables]
    .sort()
    .map((table) => transition(table, existing, wanted))
    .join("");
}

function transition(table: string, existing: readonly ExistingTable[], wanted: readonly TableRules[]): string {
  const before = existing.find((item) => item.table === table);
  const rules = wanted.find((item) => item.table === table)?.rules ?? [];
  const chains = rules.filter((rule) => rule.startsWith("-N ")).map((rule) => rule.slice(3));
  const stale = (before?.chains ?? []).filter((chain) => isOurs(chain) && !chains.includes(chain));
  const lines = [
    `*${table}`,
    // Under --noflush a declaration creates the chain, or empties the one that is there.
    ...[...chains, ...stale].map((chain) => `:${chain} - [0:0]`),
    ...(before?.rules ?? []).filter(isForeignJumpToUs).map((rule) => `-D ${rule.slice(3)}`),
    ...stale.map((chain) => `-X ${chain}`),
    ...rules.filter((rule) => !rule.startsWith("-N ")),
    "COMMIT",
  ];
  return `${lines.join("\n")}\n`;
}

/** Our rules in built-in chains that jump to no chain of ours: they can only be recognised by their own words. */
export function unmarkedRules(wanted: readonly TableRules[]): { table: Table; chain: string; rule: string }[] {
  return wanted.flatMap(({ table, rules }) =>
    rules.flatMap((text) => {
      const match = /^-[AI] (PREROUTING|OUTPUT)( \d+)? (.*)$/.exec(text);
      const [, chain, , rule] = match ?? [];
      return chain === undefined || rule === undefined || / -j ISTIO_|^-j ISTIO_/.test(rule)
        ? []
        : [{ table, chain, rule }];
    }),
  );
}

/** Tells whether a built-in chain holds a rule that could be one of those. */
export function hasUnmarkedRules(existing: readonly ExistingTable[]): boolean {
  return existing.some(({ rules }) =>
    rules.some((rule) => /^-A (PREROUTING|OUTPUT) .*-j (RETURN|MARK|CONNMARK)\b/.test(rule)),
  );
}

export function binaryPrefix(family: Family): "iptables" | "ip6tables" {
  return family === "v4" ? "iptables" : "ip6tables";
}

function isOurs(chain: string): boolean {
  return chain.startsWith("ISTIO_");
}

/** A rule in somebody else's chain that jumps to ours. */
function isForeignJumpToUs(rule: string): boolean {
  return !rule.startsWith("-A ISTIO_") && / -[jg] ISTIO_/.test(rule);
}
