// `pilot-agent request METHOD PATH` and `pilot-agent wait`, as container hooks of Istio's pod templates call them.
import { parseArgs } from "node:util";
import { sendAgentRequest, waitUntilReady } from "#agent/lifecycle/agent-commands.ts";
import { type CliContext, print, UsageError } from "../context.ts";

export async function runAgentCommand(argv: readonly string[], context: CliContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    strict: false,
    options: {
      "debug-port": { type: "string", default: "15000" },
      timeoutSeconds: { type: "string", default: "60" },
      url: { type: "string" },
    },
  });
  const [command, method = "GET", path = "/"] = positionals;
  if (command === "request") {
    const answer = await sendAgentRequest({ port: Number(values["debug-port"]), method, path });
    print(context, answer.body);
    return answer.status < 400 ? 0 : 1;
  }
  if (command === "wait") {
    await waitUntilReady({ timeoutMs: Number(values.timeoutSeconds) * 1000 });
    return 0;
  }
  throw new UsageError(`agent ${command ?? ""}: use request METHOD PATH, or wait`);
}
