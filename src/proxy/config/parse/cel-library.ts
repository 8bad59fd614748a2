// The CEL library, loaded by the first expression of a configuration: most proxies have none, and it would cost each of
// them 10 ms and 1 MB at the start.
import { createRequire } from "node:module";
import type * as Cel from "@marcbachmann/cel-js";

export function celLibrary(): typeof Cel {
  return createRequire(import.meta.url)("@marcbachmann/cel-js") as typeof Cel;
}
