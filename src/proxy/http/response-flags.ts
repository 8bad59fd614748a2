// Envoy's response flags, several of which can apply to one request. Envoy writes them in the order of its own table,
// whichever came first.

const order: readonly string[] = [
  "LH",
  "UH",
  "UT",
  "LR",
  "UR",
  "UF",
  "UC",
  "UO",
  "NR",
  "DI",
  "FI",
  "RL",
  "UAEX",
  "RLSE",
  "DC",
  "URX",
  "SI",
  "IH",
  "DPE",
  "UMSDR",
  "RFCF",
  "NFCF",
  "DT",
  "UPE",
  "NC",
  "OM",
  "DF",
  "DO",
  "DR",
  "UDO",
];

/** The same flags as a bit field, as attributes carry them. */
export function responseFlagBits(flags: string): number {
  let bits = 0;
  for (const flag of flags.split(",")) {
    const at = order.indexOf(flag);
    if (at >= 0) bits += 2 ** at;
  }
  return bits;
}

/** Adds a flag to flags that are joined by commas. */
export function withFlag(flags: string, flag: string): string {
  if (flags === "" || flag === "") return flags || flag;
  const all = new Set([...flags.split(","), flag]);
  return [...all].sort((a, b) => order.indexOf(a) - order.indexOf(b)).join(",");
}
