// `sessionPersistence` of the Gateway API's routes: https://gateway-api.sigs.k8s.io/geps/gep-1619/
import { type Decoder, oneOf, optional, record, text, withDefault } from "../decode.ts";
import { gatewayApiDuration } from "./gateway-api-duration.ts";
import type { Milliseconds } from "./units.ts";

export interface SessionPersistence {
  /** Of the cookie or header; empty for a name that the mesh gives. */
  readonly sessionName: string;
  readonly absoluteTimeout?: Milliseconds;
  readonly idleTimeout?: Milliseconds;
  readonly type: "Cookie" | "Header";
  readonly cookieConfig?: { readonly lifetimeType: "Session" | "Permanent" };
}

export const sessionPersistence: Decoder<SessionPersistence> = record<SessionPersistence>({
  sessionName: text,
  absoluteTimeout: optional(gatewayApiDuration),
  idleTimeout: optional(gatewayApiDuration),
  type: withDefault(oneOf(["Cookie", "Header"]), "Cookie"),
  cookieConfig: optional(
    record<NonNullable<SessionPersistence["cookieConfig"]>>({
      lifetimeType: withDefault(oneOf(["Session", "Permanent"]), "Session"),
    }),
  ),
});
