// The table form (meta.k8s.io/v1 Table) that `kubectl get` asks for.

import type { CatalogEntry } from "#mesh/catalog.ts";
import type { KubernetesObject } from "#mesh/objects/kubernetes-object.ts";
import type { JsonRecord } from "../../store/json.ts";
import type { Exchange } from "../exchange.ts";
import { columnsOf } from "./columns.ts";

export function wantsTable(exchange: Exchange): boolean {
  const [first = ""] = (exchange.request.headers.accept ?? "").split(",");
  return /;\s*as=Table/.test(first);
}

export function tableOf(
  entry: CatalogEntry,
  objects: readonly KubernetesObject[],
  metadata: JsonRecord,
  nowMs: number,
): JsonRecord {
  const columns = columnsOf(entry);
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata,
    columnDefinitions: columns.map(({ name, type = "string", priority = 0 }) => ({
      name,
      type,
      format: name === "Name" ? "name" : "",
      description: "",
      priority,
    })),
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, nowMs)),
      object: { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata },
    })),
  };
}
