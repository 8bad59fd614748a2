// `outrigger explain METHOD URL --from WORKLOAD [-H HEADER]`. Exit code 0 when the request reaches its application.
import type { Command } from "commander";
import { type CliContext, print } from "../../context.ts";
import { withMesh } from "../../mesh/connection.ts";
import { listPods } from "../../mesh/pods.ts";
import { readMeshSnapshot } from "../../mesh/snapshot.ts";
import { parseOutputFormat, renderOutput } from "../../render/output.ts";

interface Flags {
  readonly from: string;
  readonly namespace: string;
  readonly header: readonly string[];
  readonly claims?: string;
  readonly output: string;
}

export function registerExplain(program: Command, context: CliContext, finish: (exitCode: number) => void): void {
  program
    .command("explain <method> <url>")
    .description("tell the whole way of a request, each step with the resource and line that decides; nothing is sent")
    .requiredOption("--from <workload>", "who asks: a pod, an app label, deploy/NAME, with .NAMESPACE")
    .option("-n, --namespace <namespace>", "namespace of the source", "default")
    .option("-H, --header <header>", "request header as 'name: value'; may be repeated", collect, [])
    .option("--claims <json>", "claims of a token that is taken for good, in place of one in a header")
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action(async (method: string, url: string, flags: Flags) => {
      const { explain } = await import("./explain.ts");
      const { parseClaims, parseRequest } = await import("./question.ts");
      const { findWorkload } = await import("./workload.ts");
      const { renderExplanation } = await import("./render.ts");
      const request = {
        ...parseRequest(method, url, flags.header),
        ...(flags.claims !== undefined && { claims: parseClaims(flags.claims) }),
        nowSeconds: Date.now() / 1000,
      };
      const answer = await withMesh(context, async (client) => {
        const [snapshot, pods] = await Promise.all([readMeshSnapshot(client), listPods(client)]);
        const source = findWorkload(pods, flags.from, flags.namespace, snapshot.meshConfig.trustDomain);
        return explain({ snapshot, pods, source, request });
      });
      print(
        context,
        renderOutput(parseOutputFormat(flags.output), answer, () => renderExplanation(answer)),
      );
      finish(answer.outcome === "refused" ? 1 : 0);
    });
}

function collect(value: string, previous: readonly string[]): string[] {
  return [...previous, value];
}
