// The authorization service in words.
import type { ExtAuthzSettings } from "./settings.ts";

export function describeService({ service }: ExtAuthzSettings): string {
  return `the authorization service ${service.cluster} (${service.type === "grpc" ? "gRPC" : "HTTP"})`;
}
