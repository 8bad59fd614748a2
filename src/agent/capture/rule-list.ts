// An ordered list of netfilter rules for both address families, and its form as iptables-restore input.

export type Family = "v4" | "v6";
export type Table = "filter" | "mangle" | "nat" | "raw";

export interface TableRules {
  readonly table: Table;
  /** `-N CHAIN` lines, then rules as `-A CHAIN ...` and `-I CHAIN n ...`. */
  readonly rules: readonly string[];
}

interface Rule {
  readonly family: Family | "both";
  readonly table: Table;
  readonly chain: string;
  readonly text: string;
}

const builtInChains: ReadonlySet<string> = new Set(["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]);

export class RuleList {
  readonly #rules: Rule[] = [];

  append(table: Table, chain: string, rule: string): void {
    this.#rules.push({ family: "both", table, chain, text: `-A ${chain} ${rule}` });
  }

  appendFor(family: Family, table: Table, chain: string, rule: string): void {
    this.#rules.push({ family, table, chain, text: `-A ${chain} ${rule}` });
  }

  /** The same rule with the address that fits the family. */
  appendVersioned(
    table: Table,
    chain: string,
    addresses: readonly [string, string],
    rule: (a: string) => string,
  ): void {
    this.appendFor("v4", table, chain, rule(addresses[0]));
    this.appendFor("v6", table, chain, rule(addresses[1]));
  }

  insert(table: Table, chain: string, position: number, rule: string, family: Family | "both" = "both"): void {
    this.#rules.push({ family, table, chain, text: `-I ${chain} ${position} ${rule}` });
  }

  /** Rules of one family by table, in the order of addition; chains are declared before them. */
  tables(family: Family): TableRules[] {
    const own = this.#rules.filter((rule) => rule.family === family || rule.family === "both");
    const names = [...new Set(own.map((rule) => rule.table))].sort();
    return names.map((table) => {
      const rules = own.filter((rule) => rule.table === table);
      const chains = new Set(rules.map((rule) => rule.chain));
      // A jump needs its chain even where the chain has no rule of this family.
      for (const rule of rules) chains.add(rule.text.slice(rule.text.lastIndexOf(" ") + 1));
      const declared = [...chains].filter((chain) => chain.startsWith("ISTIO_") && !builtInChains.has(chain));
      return { table, rules: [...declared.map((chain) => `-N ${chain}`), ...rules.map((rule) => rule.text)] };
    });
  }
}

/** Input for iptables-restore on tables that hold none of these chains yet; what `--dry-run` prints. */
export function renderRestore(tables: readonly TableRules[]): string {
  return tables.map(({ table, rules }) => `* ${table}\n${rules.join("\n")}\nCOMMIT\n`).join("");
}
