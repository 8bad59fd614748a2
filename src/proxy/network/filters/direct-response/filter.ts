// Answers every connection with the same bytes, and closes it.
import { type Config, ConfigSchema } from "#wire/gen/envoy/extensions/filters/network/direct_response/v3/config_pb.ts";
import { noOutcome } from "../../../config/listener.ts";
import { inlineBytes } from "../../../config/parse/values.ts";
import { defineNetworkFilter, type FilterPlace, type NetworkFilterType, settingsFrom } from "../../filter.ts";
import { LocalTerminal } from "../../local-terminal.ts";

interface DirectResponseSettings {
  readonly response: Buffer;
}

export const directResponse: NetworkFilterType = defineNetworkFilter<DirectResponseSettings>({
  type: "direct_response",
  messages: [settingsFrom(ConfigSchema, parse)],
  decide:
    ({ response }) =>
    () => ({ ...noOutcome, answer: `answers ${response.length} bytes itself and closes` }),
  terminal: ({ response }) => ({
    serve: (connection) => {
      const served = new LocalTerminal(connection, null);
      connection.info.terminationDetails = "direct_response";
      if (response.length > 0) connection.transport.writeBytes(response);
      served.end();
      return served;
    },
  }),
});

function parse(message: Config, { path, problems }: FilterPlace): DirectResponseSettings {
  const response = message.response === undefined ? Buffer.alloc(0) : inlineBytes(message.response);
  if (response === undefined) problems.invalid(`${path}.response`, "must be given inline");
  return { response: response ?? Buffer.alloc(0) };
}
