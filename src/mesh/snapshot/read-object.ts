// Reads one object into the snapshot: decode, validate, expand short names, hash. An object that did not change since
// the previous snapshot is taken over as it is; one whose new version is wrong keeps its last good version in force.
import { createHash } from "node:crypto";
import { hasErrors, type Issue, type ObjectRef, type Origin, Severity, type SourcePosition } from "#base/issue.ts";
import { catalog, findKind } from "../catalog.ts";
import { isTooDeep, maxObjectDepth } from "../objects/depth.ts";
import type { Kind } from "../objects/kind.ts";
import { type KubernetesObject, type ObjectMeta, sourceAnnotation } from "../objects/kubernetes-object.ts";
import { type MeshObject, objectKey } from "../objects/mesh-object.ts";
import { readMetadata, validateDryRun, validateFrame } from "../objects/metadata.ts";
import { renderPath } from "../objects/path.ts";
import { type Report, reportInto, toIssue } from "../objects/report.ts";
import { decodeSourceAnnotation, positionIn, type SourceMap } from "../objects/source-annotation.ts";
import { nearest } from "../objects/suggest.ts";
import { decodableKinds, kindKey, meshKind } from "./decodable-kinds.ts";

/** An object as a source gives it. Sources never change an object in place: equal reference means equal content. */
export interface SourceObject {
  readonly object: KubernetesObject;
  /** Where a field was written; without it the annotation `outrigger.dev/source` answers. */
  position?(path: string): SourcePosition;
}

export interface Entry {
  readonly key: string;
  readonly source: KubernetesObject;
  /** True for Istio's own kinds and the Gateway API's. */
  readonly mesh: boolean;
  readonly origin: Origin;
  /** What is in force: this version, or an earlier one when this one is wrong. */
  readonly object: MeshObject<unknown> | undefined;
  readonly issues: readonly Issue[];
  /** This version was refused. */
  readonly invalid: boolean;
  /** Of what is in force. */
  readonly hash: Uint8Array;
}

/** Names an object among the entries of a snapshot, before it is read. */
export function entryKey(object: KubernetesObject): string {
  const { namespace = "", name } = object.metadata;
  return objectKey({ kind: meshKind(object), namespace, name });
}

const noHash = new Uint8Array(8);

const ingressKinds: ReadonlySet<string> = new Set(["networking.k8s.io/Ingress", "networking.k8s.io/IngressClass"]);

/** Undefined for kinds that are none of the mesh's business. */
export function readObject(source: SourceObject, domain: string, previous: Entry | undefined): Entry | undefined {
  const { object } = source;
  if (previous !== undefined && previous.source === object) return previous;
  const key = kindKey(object.apiVersion, object.kind);
  const kind = decodableKinds.get(key);
  const isMesh =
    key.includes(".istio.io/") || /^gateway\.networking\.(x-)?k8s\.io\//.test(key) || ingressKinds.has(key);
  if (kind === undefined && !isMesh) return undefined;
  const place = locate(source);
  const ref: ObjectRef = {
    kind: kind?.kind ?? object.kind,
    namespace: object.metadata.namespace ?? "",
    name: object.metadata.name,
  };
  const start = place("");
  const origin: Origin = start === undefined ? ref : { ...ref, file: start.file, line: start.line };
  const base = { key: objectKey(ref), source: object, mesh: isMesh, origin, hash: noHash };
  if (isTooDeep(object)) {
    const message = `the object is nested deeper than ${maxObjectDepth} levels`;
    const issue = toIssue({ code: "OUT0002", severity: Severity.Error, path: "", message }, origin, place);
    const last = previous?.object;
    const hash = last === undefined ? noHash : (previous?.hash ?? noHash);
    return { ...base, object: last, issues: [issue], invalid: true, hash };
  }
  if (kind === undefined || findKind(object.apiVersion, object.kind) === undefined) {
    const issue = refuseKind(object, ref, place);
    return { ...base, object: undefined, issues: [issue], invalid: true };
  }
  return { ...base, ...decodeObject(kind, object, origin, place, domain, previous) };
}

type Place = (path: string) => SourcePosition | undefined;

function decodeObject(
  kind: Kind<unknown>,
  object: KubernetesObject,
  origin: Origin,
  place: Place,
  domain: string,
  previous: Entry | undefined,
): Pick<Entry, "object" | "issues" | "invalid" | "hash"> {
  const issues: Issue[] = [];
  const report = reportInto(issues, origin, place);
  if (findKind(object.apiVersion, object.kind)?.mesh === true) validateFrame(object, report);
  const metadata = readMetadata(object, report);
  if (object.apiVersion.includes(".istio.io/")) validateDryRun({ ...object, metadata }, report);
  const decoded = kind.decode({ ...object, metadata }, report);
  if (decoded !== undefined) kind.validate(decoded, besides(issues, report), { ...object, metadata });
  if (decoded === undefined || hasErrors(issues)) {
    const last = previous?.object;
    return { object: last, issues, invalid: true, hash: last === undefined ? noHash : (previous?.hash ?? noHash) };
  }
  const spec = kind.expand?.(decoded, { namespace: origin.namespace, domain }) ?? decoded;
  const hash = hashOf(object, metadata, spec, place);
  const isSame = previous?.object !== undefined && sameHash(previous.hash, hash);
  const made: MeshObject<unknown> = isSame
    ? (previous.object as MeshObject<unknown>)
    : {
        kind: kind.kind,
        apiVersion: object.apiVersion,
        metadata,
        name: origin.name,
        namespace: origin.namespace,
        createdAt: createdAt(metadata),
        spec,
        origin,
        position: place,
      };
  return { object: made, issues, invalid: false, hash };
}

/**
 * Reports what is wrong beside what could not be read: where a field has a default in place of what is written, around
 * it or within it, nothing more can be said. Items after one that could not be read have other places than written.
 */
function besides(issues: readonly Issue[], report: Report): Report {
  const unread = issues.flatMap(({ severity, path }) =>
    severity === Severity.Error ? [path?.replace(/\[\d+\]$/, "") ?? ""] : [],
  );
  if (unread.length === 0) return report;
  return (problem) => {
    const path = typeof problem.path === "string" ? problem.path : renderPath(problem.path);
    if (!unread.some((other) => isWithin(path, other) || isWithin(other, path))) report(problem);
  };
}

/** `spec.http[0].match` is within `spec.http[0]`, and everything within the empty path. */
function isWithin(path: string, outer: string): boolean {
  return path.startsWith(outer) && (outer === "" || path.length === outer.length || ".[".includes(path[outer.length]!));
}

/** Over what the mesh reads, so that a heartbeat in a status is no change. */
function hashOf(object: KubernetesObject, metadata: ObjectMeta, spec: unknown, place: Place): Uint8Array {
  const { namespace, name, labels, annotations, creationTimestamp, ownerReferences } = metadata;
  const identity = [object.apiVersion, object.kind, namespace, name, labels, annotations, creationTimestamp];
  const content = JSON.stringify([...identity, ownerReferences, spec, linesOf(object, place)]);
  return createHash("sha256").update(content).digest().subarray(0, 8);
}

/** Lines that provenance names: moving an object in its file changes what `explain` must say about it. */
function linesOf(object: KubernetesObject, place: Place): (string | number | undefined)[] {
  const start = place("");
  if (start === undefined) return [];
  const lines: (string | number | undefined)[] = [start.file, start.line];
  const spec = object["spec"];
  for (const [field, value] of Object.entries(typeof spec === "object" && spec !== null ? spec : {})) {
    if (!Array.isArray(value)) continue;
    for (let index = 0; index < value.length; index++) lines.push(place(`spec.${field}[${index}]`)?.line);
  }
  return lines;
}

function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, index) => byte === b[index]);
}

function createdAt(metadata: ObjectMeta): number {
  const time = Date.parse(metadata.creationTimestamp ?? "");
  return Number.isNaN(time) ? 0 : time;
}

/** Positions from the source itself, else from the annotation, which is read when it is first needed. */
export function locate(source: SourceObject): Place {
  if (source.position !== undefined) return (path) => source.position?.(path);
  let map: SourceMap | undefined | null = null;
  return (path) => {
    if (map === null) map = decodeSourceAnnotation(source.object.metadata.annotations?.[sourceAnnotation]);
    return map === undefined ? undefined : positionIn(map, path);
  };
}

function refuseKind(object: KubernetesObject, ref: ObjectRef, place: Place): Issue {
  const position = place("");
  const at = { object: ref, ...(position !== undefined && { position }) };
  const known = catalog.filter((entry) => entry.mesh);
  const named = known.filter((entry) => entry.kind === object.kind);
  const kind = named.find(({ group }) => object.apiVersion.startsWith(`${group}/`)) ?? named[0];
  const fix =
    kind === undefined
      ? nearest(
          object.kind,
          known.map((entry) => entry.kind),
        )
      : `apiVersion: ${kind.group}/${kind.versions[0] ?? ""}`;
  return {
    code: "OUT0004",
    severity: Severity.Error,
    message: `there is no kind ${object.kind} in ${object.apiVersion}`,
    ...at,
    ...(fix !== undefined && { fix: kind === undefined ? `did you mean "${fix}"?` : fix }),
  };
}
