// The status that an object is to carry, as the mesh computes it, and how it joins the status that is there.

export interface DesiredStatus {
  readonly apiVersion: string;
  readonly kind: string;
  /** Empty on cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
  /**
   * The fields of `status` that are ours; other fields stay as they are, and so do conditions of other types.
   * Conditions carry no `lastTransitionTime`: pure answers know no clock. Lists of `{ controllerName }` (`parents` of a route, `ancestors` of a policy) are shared with
   * other controllers, whose items stay.
   */
  readonly status: Readonly<Record<string, unknown>>;
}

/**
 * The whole status after ours is put in. A condition keeps its `lastTransitionTime` while its status stays, and gets
 * `now` (RFC 3339, whole seconds) when it changes. Equal to `current` when there is nothing to write.
 */
export function joinStatus(current: unknown, desired: DesiredStatus["status"], now: string): Record<string, unknown> {
  const before = asRecord(current);
  const joined: Record<string, unknown> = { ...before };
  for (const [field, value] of Object.entries(desired)) joined[field] = joinValue(before[field], value, now);
  return joined;
}

function joinValue(before: unknown, after: unknown, now: string): unknown {
  if (!Array.isArray(after)) return after;
  const known: unknown[] = Array.isArray(before) ? before : [];
  const items = after.map((item: unknown) => joinItem(known, item, now));
  const controllers = new Set(after.flatMap((item: unknown) => controllerOf(item) ?? []));
  const foreign = known.filter((item) => {
    if (isForeignCondition(item)) return true;
    const controller = controllerOf(item);
    return controller !== undefined && !controllers.has(controller) && !ours.has(controller);
  });
  return [...foreign, ...items];
}

function joinItem(known: readonly unknown[], item: unknown, now: string): unknown {
  const record = asRecord(item);
  if (typeof record["type"] === "string" && typeof record["status"] === "string") {
    const same = known.map(asRecord).find((other) => other["type"] === record["type"]);
    const stays = same !== undefined && same["status"] === record["status"];
    return { ...record, lastTransitionTime: stays ? (same["lastTransitionTime"] ?? now) : now };
  }
  if (!Array.isArray(record["conditions"])) return item;
  const identity = identityOf(record);
  const same = known.map(asRecord).find((other) => identityOf(other) === identity);
  return { ...record, conditions: joinValue(same?.["conditions"], record["conditions"], now) };
}

/** A listener is known by its name, a route's parent by its reference. */
function identityOf(item: Record<string, unknown>): string {
  const reference = asRecord(item["parentRef"] ?? item["ancestorRef"]);
  return JSON.stringify([item["name"], item["controllerName"], Object.entries(reference).sort()]);
}

function controllerOf(item: unknown): string | undefined {
  const name = asRecord(item)["controllerName"];
  return typeof name === "string" ? name : undefined;
}

/** A condition of a type that is never written here: of another controller, or of another part, as a workload's health. */
function isForeignCondition(item: unknown): boolean {
  const { type, status } = asRecord(item);
  return typeof type === "string" && typeof status === "string" && !ourConditions.has(type);
}

const ourConditions: ReadonlySet<string> = new Set([
  "Accepted",
  "Conflicted",
  "InsecureFrontendValidationMode",
  "Programmed",
  "Reconciled",
  "ResolvedRefs",
  "outrigger.dev/InForce",
]);

/** Items of these controllers are replaced, also by none. */
const ours: ReadonlySet<string> = new Set(["istio.io/gateway-controller", "istio.io/mesh-controller"]);

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
