// ListenerSet for the rest of the mesh: how it is read, and the rules of its CRD.
import { decodeSpec, list, record, text, withDefault } from "../../objects/decode.ts";
import { decodeListener, validateListeners } from "../../objects/fields/listener.ts";
import { gatewayApiGroup } from "../../objects/fields/route-reference.ts";
import type { Kind } from "../../objects/kind.ts";
import type { ListenerSetParent, ListenerSetSpec } from "./spec.ts";

const nobody: ListenerSetParent = { group: gatewayApiGroup, kind: "Gateway", namespace: "", name: "" };

const spec = record<ListenerSetSpec>({
  parentRef: withDefault(
    record<ListenerSetParent>({
      group: withDefault(text.decode, gatewayApiGroup),
      kind: withDefault(text.decode, "Gateway"),
      namespace: text,
      name: text,
    }),
    nobody,
  ),
  listeners: list(decodeListener, 64),
});

export const listenerSet: Kind<ListenerSetSpec> = {
  kind: "ListenerSet",
  decode: (object, report) => decodeSpec(object, spec, report),
  validate({ parentRef, listeners }, report) {
    if (parentRef.name === "") report({ path: "spec.parentRef.name", message: "the name of a Gateway is needed" });
    if (parentRef.group !== gatewayApiGroup || parentRef.kind !== "Gateway") {
      report({ path: "spec.parentRef", message: `a ListenerSet attaches to a Gateway, not to a ${parentRef.kind}` });
    }
    validateListeners(listeners, report);
  },
};
