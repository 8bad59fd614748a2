// The command line: which word runs which module. Commands load lazily, because a sidecar, an init container and a
// user's `version` are all this program and none should pay for the others.
import { describeError } from "#base/error.ts";
import type { CliContext } from "./context.ts";
import { printError, UsageError } from "./context.ts";

/** Container entry points: their arguments are Istio's and are parsed by their own modules. */
const processes: Readonly<Record<string, (argv: readonly string[], context: CliContext) => Promise<number>>> = {
  proxy: async (argv, context) => (await import("./processes/proxy.ts")).runProxy(argv, context),
  agent: async (argv, context) => (await import("./processes/agent-command.ts")).runAgentCommand(argv, context),
  init: async (argv, context) => (await import("./processes/init.ts")).runInitCommand(argv, context),
  "istio-iptables": async (argv, context) => (await import("./processes/init.ts")).runInitCommand(argv, context),
  discovery: async (argv, context) => (await import("./processes/pilot.ts")).runPilot(argv, context),
  pilot: async (argv, context) => (await import("./processes/pilot.ts")).runPilot(argv, context),
  cluster: async () => (await import("./processes/cluster.ts")).runCluster(),
};

/** Commands that read no configuration; the others may meet an EnvoyFilter. */
const withoutConfiguration: ReadonlySet<string> = new Set(["down", "logs", "exec", "version", "help"]);

/** Runs one command and returns its exit code. A user's mistake prints a sentence, never a stack trace. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  try {
    const run = processes[argv[0] ?? ""];
    if (run !== undefined) return await run(argv.slice(1), context);
    return await runCommand(argv, context);
  } catch (error) {
    if (error instanceof UsageError) {
      printError(context, `outrigger: ${error.message}`);
      return error.exitCode;
    }
    printError(context, `outrigger: ${describeError(error)}`);
    if (context.env["OUTRIGGER_DEBUG"] !== undefined && error instanceof Error) printError(context, error.stack ?? "");
    return 1;
  }
}

async function runCommand(argv: readonly string[], context: CliContext): Promise<number> {
  const { Command, CommanderError } = await import("commander");
  let exitCode = 0;
  const finish = (code: number): void => {
    exitCode = code;
  };
  const program = new Command("outrigger")
    .description("The service mesh that runs anywhere: Istio's API on one machine, with one command.")
    .exitOverride()
    .showHelpAfterError("(add --help for the flags)")
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
    });

  program.hook("preAction", async (_, command) => {
    if (!withoutConfiguration.has(command.name())) {
      await (await import("#mesh/objects/envoy-types.ts")).loadEnvoyTypes();
    }
  });
  const { registerCommands } = await import("./commands/register.ts");
  registerCommands(program, context, finish);
  program.addHelpText(
    "after",
    "\nContainer entry points: proxy sidecar|router, pilot discovery, init (istio-iptables), cluster.",
  );
  if (argv.length === 0) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    // The library has told the user already.
    if (error instanceof CommanderError) return error.exitCode;
    throw error;
  }
  return exitCode;
}
