// What a pod's container wrote, as plain text.

import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import { apiError } from "../../store/errors.ts";
import { asArray, asRecord, fieldAt } from "../../store/json.ts";
import { named, type ResourceCall } from "../call.ts";

export async function podLog(call: ResourceCall): Promise<void> {
  const { response, url } = call.exchange;
  const pod = named(call);
  const query = url.searchParams;
  const flag = (name: string): boolean => query.get(name) === "true";
  const stream = await call.context.node.logs({
    pod,
    container: containerOf(pod, query.get("container") ?? ""),
    follow: flag("follow"),
    previous: flag("previous"),
    timestamps: flag("timestamps"),
    ...amount(query, "tailLines"),
    ...amount(query, "sinceSeconds"),
    ...amount(query, "limitBytes"),
  });
  response.writeHead(200, { "content-type": "text/plain" });
  response.flushHeaders();
  stream.on("error", () => response.destroy());
  response.on("close", () => stream.destroy());
  stream.pipe(response);
}

/** The container that is meant: the only one, or the one that the annotation makes the default. */
function containerOf(pod: KubernetesObject, wanted: string): string {
  const names = ["containers", "initContainers", "ephemeralContainers"].map((list) =>
    asArray(fieldAt(pod, "spec", list)).map((container) => String(asRecord(container)["name"])),
  );
  const all = names.flat();
  const main = names[0] ?? [];
  const preferred = wanted || pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"] || "";
  if (all.includes(preferred)) return preferred;
  if (wanted !== "") throw apiError("BAD_REQUEST", `container ${wanted} is not valid for pod ${pod.metadata.name}`);
  if (main.length === 1 && main[0] !== undefined) return main[0];
  throw apiError(
    "BAD_REQUEST",
    `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${all.join(" ")}]`,
  );
}

function amount(query: URLSearchParams, name: "tailLines" | "sinceSeconds" | "limitBytes"): Record<string, number> {
  const text = query.get(name);
  if (text === null) return {};
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw apiError("BAD_REQUEST", `${name} must be a whole number from 0`);
  return { [name]: value };
}
