// create and update; patch is in `patch.ts`.

import { isStatusSubresource } from "../../admission/attributes.ts";
import { apiError } from "../../store/errors.ts";
import { asRecord } from "../../store/json.ts";
import { type ResourceCall, received, shown, writeContext } from "../call.ts";
import { guarded } from "../certificates/guard.ts";
import { hasStatus } from "../discovery.ts";
import { readRecord, sendJson } from "../exchange.ts";
import { keepManagers } from "../patch/managed-fields.ts";
import { checkEscalation } from "../rbac/escalation.ts";

export async function create(call: ResourceCall): Promise<void> {
  const { context, exchange, entry } = call;
  const body = await readRecord(exchange.request);
  const { status: _, ...rest } = hasStatus(entry.plural) ? body : { ...body, status: undefined };
  const object = received(call, rest);
  if (object.metadata.resourceVersion)
    throw apiError("BAD_REQUEST", "resourceVersion should not be set on objects to be created");
  checkEscalation(context.store, exchange.user, entry, object);
  const created = await context.admission.create(entry, guarded(call, object), writeContext(call));
  sendJson(exchange.response, 201, shown(call, created));
}

export async function update(call: ResourceCall): Promise<void> {
  const { context, exchange, entry, path } = call;
  const object = received(call, await readRecord(exchange.request));
  checkEscalation(context.store, exchange.user, entry, object);
  const updated = await context.admission.update(
    entry,
    path.namespace,
    path.name,
    (stored) => {
      const isStatus = isStatusSubresource(path.subresource);
      const next = isStatus ? { ...stored, status: asRecord(object["status"]) } : keepManagers(object, stored);
      return guarded(call, next, stored);
    },
    writeContext(call, object.metadata.resourceVersion),
  );
  sendJson(exchange.response, 200, shown(call, updated));
}
