// Addresses as Envoy's JSON writes them.
import { isPipe } from "../transport/connection-info.ts";

export function addressJson(host: string, port: number): object {
  return isPipe(host) ? { pipe: { path: host } } : { socket_address: { address: host, port_value: port } };
}
