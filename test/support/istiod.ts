// The control plane's Deployment as the embedded cluster has it, with other variables in its environment.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { projectRoot } from "./mesh.ts";

export function istiodWith(settings: Readonly<Record<string, string>>, replicas = 1): string {
  const text = readFileSync(join(projectRoot, "deploy/embedded/istiod.yaml"), "utf8");
  const deployment = parseAllDocuments(text).find((document) => document.get("kind") === "Deployment");
  assert.ok(deployment !== undefined);
  deployment.setIn(["spec", "replicas"], replicas);
  for (const [name, value] of Object.entries(settings)) {
    deployment.addIn(["spec", "template", "spec", "containers", 0, "env"], { name, value });
  }
  return deployment.toString();
}
