// Envoy's core.v3.Address in one word.
import { object, text } from "./config-dump.ts";

/** `10.0.0.1:80`, `unix://path`, or `envoy://listener/endpoint`. */
export function formatAddress(address: unknown): string {
  const { socketAddress, pipe, envoyInternalAddress } = object(address);
  if (pipe !== undefined) return `unix://${text(object(pipe)["path"])}`;
  if (envoyInternalAddress !== undefined) {
    const { serverListenerName, endpointId } = object(envoyInternalAddress);
    return `envoy://${text(serverListenerName)}/${text(endpointId)}`;
  }
  const { address: host, portValue } = object(socketAddress);
  return `${text(host)}:${text(portValue)}`;
}
