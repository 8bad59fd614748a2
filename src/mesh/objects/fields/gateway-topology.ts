// `gatewayTopology` of a proxy's configuration: what stands in front of a gateway, and may be believed.
import { type Decoder, lenientRecord, oneOf, optional, uint32, withDefault } from "../decode.ts";

export interface GatewayTopology {
  /** Proxies in front of the gateway that add to x-forwarded-for. */
  readonly numTrustedProxies: number;
  /** UNDEFINED is SANITIZE_SET. */
  readonly forwardClientCertDetails: ForwardClientCertDetails;
  /** Connections begin with a PROXY header. */
  readonly proxyProtocol?: Readonly<Record<string, never>>;
}

export type ForwardClientCertDetails = (typeof forwardClientCertDetails)[number];

const forwardClientCertDetails = [
  "UNDEFINED",
  "SANITIZE",
  "FORWARD_ONLY",
  "APPEND_FORWARD",
  "SANITIZE_SET",
  "ALWAYS_FORWARD_ONLY",
] as const;

export const decodeGatewayTopology: Decoder<GatewayTopology> = lenientRecord<GatewayTopology>({
  numTrustedProxies: withDefault(uint32, 0),
  forwardClientCertDetails: withDefault(oneOf(forwardClientCertDetails), "UNDEFINED"),
  proxyProtocol: optional(lenientRecord<Record<string, never>>({})),
});

export const noTopology: GatewayTopology = { numTrustedProxies: 0, forwardClientCertDetails: "UNDEFINED" };
