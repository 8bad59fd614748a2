// `outrigger version`.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { istioVersion } from "#wire/xds/istio-version.ts";
import { type CliContext, print } from "../context.ts";
import { parseOutputFormat, renderOutput } from "../render/output.ts";

export function registerVersion(program: Command, context: CliContext): void {
  program
    .command("version")
    .description("print the version")
    .option("-s, --short", "only the version of Outrigger", false)
    .option("-o, --output <format>", "table, json or yaml", "table")
    .action((options: { short: boolean; output: string }) => {
      const outrigger = packageVersion(context.packageRoot);
      const versions = { outrigger, istio: istioVersion, node: process.versions.node };
      if (options.short) print(context, outrigger);
      else
        print(
          context,
          renderOutput(parseOutputFormat(options.output), versions, () => tableOf(versions)),
        );
    });
}

function packageVersion(packageRoot: string): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string };
  return manifest.version;
}

function tableOf(versions: { outrigger: string; istio: string; node: string }): string {
  return `outrigger ${versions.outrigger}\nIstio API ${versions.istio}\nNode.js   ${versions.node}`;
}
