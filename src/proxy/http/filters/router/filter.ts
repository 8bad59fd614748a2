// envoy.filters.http.router, as it stands in a chain. What it does is in router.ts: the stream owns its router.
import { RouterSchema } from "#wire/gen/envoy/extensions/filters/http/router/v3/router_pb.ts";
import type { HttpFilterConfig } from "../../../config/http.ts";
import { defineHttpFilter, type HttpFilterType, settingsFrom } from "../../filter.ts";

interface RouterSettings {
  /** Do not add `x-envoy-*` to requests and responses. */
  readonly suppressEnvoyHeaders: boolean;
}

export const router: HttpFilterType = defineHttpFilter<RouterSettings>({
  type: "router",
  messages: [settingsFrom(RouterSchema, ({ suppressEnvoyHeaders }) => ({ suppressEnvoyHeaders }))],
  configure: () => null,
});

export function suppressesEnvoyHeaders({ type, settings }: HttpFilterConfig): boolean {
  return type === router.type && (settings as RouterSettings).suppressEnvoyHeaders;
}
