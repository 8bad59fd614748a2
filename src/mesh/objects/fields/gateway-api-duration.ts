// Durations of the Gateway API (GEP-2257): whole numbers with h, m, s and ms, at most four of them.
import type { Decoder } from "../decode.ts";
import { duration, string } from "../decode.ts";

const format = /^(?:\d{1,5}(?:h|m|s|ms)){1,4}$/;

/** To milliseconds. */
export const gatewayApiDuration: Decoder<number> = (value, path, report) => {
  if (typeof value !== "string" || format.test(value)) return duration(value, path, report);
  const text = string(value, path, report);
  report({ path, message: `"${text ?? ""}" is not a duration of the Gateway API`, fix: "as 10s, 500ms or 1h30m" });
  return undefined;
};
