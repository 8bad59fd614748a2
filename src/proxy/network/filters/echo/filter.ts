// Sends every byte back to where it came from.
import { EchoSchema } from "#wire/gen/envoy/extensions/filters/network/echo/v3/echo_pb.ts";
import { noOutcome } from "../../../config/listener.ts";
import { defineNetworkFilter, type NetworkFilterType, settingsFrom } from "../../filter.ts";
import { LocalTerminal } from "../../local-terminal.ts";

export const echo: NetworkFilterType = defineNetworkFilter<Record<never, never>>({
  type: "echo",
  messages: [settingsFrom(EchoSchema, () => ({}))],
  decide: () => () => ({ ...noOutcome, answer: "sends every byte back" }),
  terminal: () => ({
    serve: (connection) => new LocalTerminal(connection, (transport, data) => transport.writeBytes(data)),
  }),
});
