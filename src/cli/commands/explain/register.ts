// `outrigger explain [METHOD] [URL] --from WORKLOAD | --gateway GATEWAY | --to WORKLOAD`, about the running mesh or about
// files (`-f`).
import type { Command } from "commander";
import type { MeshSnapshot } from "#mesh/snapshot/snapshot.ts";
import { type CliContext, print, UsageError } from "../../context.ts";
import { parseLabels } from "../../labels-argument.ts";
import { type PopulationFlags, withPopulation } from "../../population.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";
import { collect } from "../../repeated-flag.ts";
import type { Explanation } from "./explain.ts";
import type { ExplainRequest } from "./question.ts";

interface Flags extends PopulationFlags {
  readonly from?: string;
  readonly to?: string;
  readonly gateway?: string;
  readonly namespace: string;
  readonly header: readonly string[];
  readonly method?: string;
  readonly protocol?: string;
  readonly port?: string;
  readonly tls?: string;
  readonly sni?: string;
  readonly alpn?: string;
  readonly identity?: string;
  readonly sourceIp?: string;
  readonly remoteIp?: string;
  readonly claims?: string;
  readonly labels?: string;
  readonly serviceAccount?: string;
  readonly output: string;
}

export function registerExplain(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("explain [method] [url]")
    .description("tell the whole way of a request, each step with the resource and line that decides; nothing is sent")
    .option("--from <workload>", "who asks: a pod, an app label, deploy/NAME, with .NAMESPACE")
    .option("--to <workload>", "only the way into this workload, over a connection to it")
    .option(
      "--gateway <gateway>",
      "from outside through a gateway: name of a Gateway, labels as istio=ingressgateway, or a pod",
    )
    .option(
      "-f, --filename <path>",
      "about files instead of the running mesh: file, directory, or -; may be repeated",
      collect,
      [],
    )
    .option("--mesh-config <file>", "with -f: mesh configuration as YAML")
    .option("-n, --namespace <namespace>", "namespace of names without one", "default")
    .option("-H, --header <header>", "request header as 'name: value'; may be repeated", collect, [])
    .option("--method <method>", "method of the request, where it does not stand before the URL")
    .option("--protocol <protocol>", "what the client speaks: http, tcp, or tls that no proxy beside it opens")
    .option("--port <port>", "port that is connected to; with --to, the one that the application listens on")
    .option("--tls <mode>", "with --to and --gateway, TLS of the caller: none, simple or mutual")
    .option("--sni <name>", "server name in the TLS handshake")
    .option("--alpn <names>", "protocols in the TLS handshake, as istio-http/1.1,istio")
    .option("--identity <id>", "identity in the caller's certificate: spiffe://..., or NAMESPACE/SERVICEACCOUNT")
    .option("--source-ip <address>", "address of the caller")
    .option("--remote-ip <address>", "address of the client before the caller (x-forwarded-for)")
    .option("--claims <json>", "claims of a token that is taken for good, in place of one in a header")
    .option("-l, --labels <labels>", "with -f and without --from: labels of the client's workload")
    .option("--service-account <name>", "with -f and without --from: service account of the client")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .addHelpText(
      "after",
      "\nExit code 0: it reaches the application, or a route answers. 1: it is refused, or the question is wrong.",
    )
    .action(async (first: string | undefined, second: string | undefined, flags: Flags) =>
      finish(await runExplain(context, first, second, flags)),
    );
}

async function runExplain(
  context: CliContext,
  first: string | undefined,
  second: string | undefined,
  flags: Flags,
): Promise<number> {
  const { explain } = await import("./explain.ts");
  const { chooseVantage } = await import("./vantage.ts");
  const { renderExplanation } = await import("./render.ts");
  const { withDryRun } = await import("./dry-run.ts");
  const format = parseOutputFormat(flags.output);
  const port = readPort(flags.port);
  const [method, url] =
    second === undefined && first !== undefined && !isMethod(first) ? ["GET", first] : [first, second];
  if (url === undefined && flags.to === undefined) throw new UsageError("name a URL, as http://reviews:9080/path");
  const request = await readRequest(flags.method ?? method ?? "GET", wholeUrl(url, flags.to), flags, port);
  const wish = {
    ...flags,
    port,
    alpn: flags.alpn?.split(","),
    labels: flags.labels === undefined ? undefined : parseLabels(flags.labels),
  };
  const urlPort = url === undefined || !/:\d+/.test(url) ? undefined : request.port;
  const hasVantage = [flags.from, flags.to, flags.gateway].some((flag) => flag !== undefined);
  if (!hasVantage && flags.filename.length === 0) {
    throw new UsageError("say who asks with --from, or what is asked with --gateway or --to");
  }
  const answer = await withPopulation(context, flags, (mesh) => {
    const explainIn = (snapshot: MeshSnapshot): Explanation =>
      explain({ ...mesh, snapshot, vantage: chooseVantage(wish, { ...mesh, snapshot }, urlPort), request });
    return withDryRun(explainIn(mesh.snapshot), mesh, explainIn);
  });
  print(
    context,
    renderOutput(format, answer, () => renderExplanation(answer)),
  );
  return answer.outcome === "refused" ? 1 : 0;
}

/** With `--to` a path is enough: the host is then the workload's name. */
function wholeUrl(url: string | undefined, to: string | undefined): string {
  const isPath = url === undefined || url.startsWith("/");
  return to !== undefined && isPath ? `http://${hostOf(to)}${url ?? ""}` : (url ?? "");
}

async function readRequest(
  method: string,
  url: string,
  flags: Flags,
  port: number | undefined,
): Promise<ExplainRequest> {
  const { parseClaims, parseRequest } = await import("./question.ts");
  const forwarded = flags.remoteIp === undefined ? [] : [`x-forwarded-for: ${flags.remoteIp}`];
  const request = parseRequest(method, url, {
    ...flags,
    header: [...flags.header, ...forwarded],
    // With --to it is the application's port, and not the one that the client names.
    port: flags.to === undefined ? port : undefined,
    alpn: flags.alpn?.split(","),
  });
  return {
    ...request,
    ...(flags.claims !== undefined && { claims: parseClaims(flags.claims) }),
    nowSeconds: Date.now() / 1000,
  };
}

/** `deploy/reviews.default` → `reviews`. */
function hostOf(workload: string): string {
  return workload.slice(workload.indexOf("/") + 1).split(".")[0] ?? "";
}

function isMethod(word: string): boolean {
  return /^[A-Za-z]+$/.test(word);
}

function readPort(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new UsageError(`"${text}" is not a port from 1 to 65535`);
  return port;
}
