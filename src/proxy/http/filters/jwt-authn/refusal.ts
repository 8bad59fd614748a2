// The answer to a request whose tokens are not good, as Envoy gives it.
import { type JwtStatus, jwtAudienceNotAllowed, jwtMissed } from "#wire/jose/status.ts";
import type { Stream } from "../../stream.ts";

/** A good token for somebody else is forbidden; any other is no identity at all. */
export function httpStatusOf(status: JwtStatus): number {
  return status === jwtAudienceNotAllowed ? 403 : 401;
}

/** Longer paths are cut in the realm. */
const maxPathLength = 256;

/** RFC 6750 3: the realm is the address that was asked for. */
export function challengeFor(stream: Stream, status: JwtStatus): string {
  const path = stream.headers.get("x-envoy-original-path") ?? stream.path;
  const realm = `${stream.scheme}://${stream.authority}${path.slice(0, maxPathLength)}`;
  const error = status === jwtMissed ? "" : ', error="invalid_token"';
  return `Bearer realm="${realm.replaceAll("\\", "%5C").replaceAll('"', "%22")}"${error}`;
}
