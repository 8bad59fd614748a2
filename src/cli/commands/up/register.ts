// Flags of `outrigger up`.
import { resolve } from "node:path";
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import { type CliContext, stateDirectory } from "../../context.ts";
import { collect } from "../../repeated-flag.ts";
import { type GatewayAddress, parseGatewayAddress } from "./gateway-address.ts";

interface Flags {
  readonly filename: readonly string[];
  readonly watch: boolean;
  readonly gatewayPort: GatewayAddress;
  readonly egress: boolean;
  readonly hostPort: readonly number[];
  readonly stateDir?: string;
  readonly output?: string;
}

export function registerUp(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("up")
    .description("run a mesh on this machine: cluster, control plane, gateway, and what the files say")
    .option(
      "-f, --filename <path>",
      "file or directory of YAML, with images.yaml for local images; may be repeated",
      collect,
      [],
    )
    .option("-w, --watch", "apply changes of the files as they are saved", false)
    .addOption(
      new Option("--gateway-port <[host:]port>", "where the ingress gateway is reachable; 0 picks a port")
        .argParser(parseAddress)
        .default({ host: "127.0.0.1", port: 8080 }, "127.0.0.1:8080"),
    )
    .option("--no-egress", "keep pods from everything outside of the cluster")
    .addOption(
      new Option(
        "--host-port <port>",
        "let pods reach this port of the machine's own loopback as host.outrigger.internal; may be repeated",
      )
        .argParser(collectPort)
        .default([], "none"),
    )
    .option("--state-dir <directory>", "where the cluster keeps its database and logs (default: OUTRIGGER_STATE_DIR)")
    .option("-o, --output <format>", "json prints one line when everything runs")
    .action(async (flags: Flags) => {
      const { up } = await import("./up.ts");
      const exitCode = await up(
        {
          files: flags.filename,
          watch: flags.watch,
          gateway: flags.gatewayPort,
          egress: flags.egress,
          hostPorts: flags.hostPort,
          stateDirectory: flags.stateDir === undefined ? stateDirectory(context) : resolve(context.cwd, flags.stateDir),
          json: flags.output === "json",
          program: context.env["OUTRIGGER_PROGRAM"] ?? "outrigger",
        },
        context,
      );
      finish(exitCode);
    });
}

function parseAddress(value: string): GatewayAddress {
  const address = parseGatewayAddress(value);
  if (address === undefined)
    throw new InvalidArgumentError(`"${value}" is not a port from 0 to 65535, nor host:port with one`);
  return address;
}

function collectPort(value: string, earlier: readonly number[]): number[] {
  const port = Number(value);
  if (!/^\d+$/.test(value) || port < 1 || port > 65_535) {
    throw new InvalidArgumentError(`"${value}" is not a port from 1 to 65535`);
  }
  return [...earlier, port];
}
