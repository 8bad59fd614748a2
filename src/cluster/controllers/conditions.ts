// Status conditions: one per type; the transition time moves only when the status does.

import { asRecord, type JsonRecord } from "../store/json.ts";

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

/** The conditions with this one set, `lastUpdateTime` included where `hasUpdateTime` says so. */
export function withCondition(
  conditions: readonly unknown[],
  condition: Condition,
  nowMs: number,
  hasUpdateTime = false,
): readonly JsonRecord[] {
  const all = conditions.map(asRecord);
  const before = all.find((other) => other["type"] === condition.type);
  const isSame =
    before?.["status"] === condition.status &&
    before["reason"] === condition.reason &&
    before["message"] === condition.message;
  if (isSame) return all;
  const now = timestamp(nowMs);
  const next = {
    ...condition,
    ...(hasUpdateTime ? { lastUpdateTime: now } : {}),
    lastTransitionTime: before?.["status"] === condition.status ? before["lastTransitionTime"] : now,
  };
  return before === undefined ? [...all, next] : all.map((other) => (other === before ? next : other));
}

export function withoutCondition(conditions: readonly unknown[], type: string): readonly JsonRecord[] {
  return conditions.map(asRecord).filter((condition) => condition["type"] !== type);
}

/** RFC 3339 in whole seconds. */
export function timestamp(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}
