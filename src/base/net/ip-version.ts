// Which kind of IP address a text is, for parts that may not use Node's network modules themselves.
import { isIP } from "node:net";

/** 4, 6, or undefined for text that is no address. */
export function ipVersion(text: string): 4 | 6 | undefined {
  const version = isIP(text);
  return version === 4 || version === 6 ? version : undefined;
}
